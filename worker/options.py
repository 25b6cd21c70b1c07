"""The operator's options as far as they concern the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field, fields, frozen

from protocol.quantities import seconds, size, switch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["BadOption", "Options", "options_from"]

_PARSE: Final = "parse"


class BadOption(Exception):
    """An option has no value of its kind; the text names it, for the operator."""


def _option(default: Any, parse: Callable[[str], Any]) -> Any:
    """A field, and how its text in the environment becomes a value."""
    return field(default=default, metadata={_PARSE: parse})


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return word

    return parse


@frozen
class Options:
    """What our supervisor says in `init.options`, and a foreign one's environment otherwise."""

    cancel_grace: float = _option(5.0, seconds)
    """Seconds from a `Cancel` to the terminal message; then the supervisor ends the worker."""
    concurrency: str = _option("auto", _one_of("auto", "threads"))
    """How a sync model fills several slots: "auto", not at all; "threads", one thread a slot."""
    event_loop: str = _option("asyncio", _one_of("asyncio", "uvloop", "trio"))
    """What async models run on."""
    allow_local_files: bool = _option(False, switch)
    """Whether a client may name a file of this machine as a file input."""
    deny_private_urls: bool = _option(False, switch)
    """Whether URLs to loopback and private addresses are refused; link-local ones always are."""
    download_max: int = _option(16 * 1024**3, size)
    """Bytes that one downloaded file may have."""
    download_timeout: float = _option(600.0, seconds)
    """Seconds for all downloads of one prediction together."""
    block_warning: float = _option(1.0, seconds)
    """Seconds without a turn of the event loop until a warning names what blocks it; 0: never."""
    error_prefixes: bool = _option(False, switch)
    """Whether the errors of models begin as coglet's do."""


def options_from(sent: Mapping[str, Any] | None, environ: Mapping[str, str]) -> Options:
    """The effective options; unknown ones are for newer workers and mean nothing.

    Args:
        sent: `init.options`; None under a foreign parent.
        environ: where a foreign parent's operator writes `COGLET_<OPTION>`.

    Raises:
        BadOption: a value is none of its kind.
    """
    if sent is None:
        return Options(**_from_environment(environ))
    known = {each.name: each for each in fields(Options)}
    values = {name: value for name, value in sent.items() if name in known and value is not None}
    for name, value in values.items():
        kind = type(known[name].default)
        # A whole number of seconds may come as an integer.
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise BadOption(f"init.options.{name}: {value!r} is not of type {kind.__name__}")
    return Options(**values)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for each in fields(Options):
        variable = f"COGLET_{each.name.upper()}"
        text = environ.get(variable)
        if text:
            try:
                values[each.name] = each.metadata[_PARSE](text)
            except ValueError as error:
                raise BadOption(f"{variable}: {error}") from None
    return values
