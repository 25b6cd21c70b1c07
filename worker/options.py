"""The operator's options as far as they concern the worker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from attrs import field, fields, frozen

from protocol.quantities import seconds, size, switch

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BadOption", "Options", "options_from"]

_KIND: Final = "kind"


class BadOption(Exception):
    """An option has no value of its kind; the text names it, for the operator."""


@frozen
class _Kind:
    """What values a field may have. Each function raises `ValueError` with what is wrong.

    Attributes:
        types: the exact types of its values.
        parse: how its text in the environment becomes a value.
        check: refuses a value of the right type.
    """

    types: tuple[type, ...]
    parse: Callable[[str], Any]
    check: Callable[[Any], None]

    def checked(self, value: object) -> Any:
        """The value itself, if it is one of this kind."""
        if type(value) not in self.types:
            raise ValueError(f"{value!r} is not of type {self.types[0].__name__}")
        self.check(value)
        return value


def _amount(value: float) -> None:
    if not 0 <= value <= sys.float_info.max:
        raise ValueError(f"{value!r} is negative or not finite")


def _anything(value: object) -> None:
    pass


def _one_of(*words: str) -> _Kind:
    def check(word: str) -> None:
        if word not in words:
            raise ValueError(f"{word!r} is none of {', '.join(words)}")

    return _Kind((str,), lambda text: text.strip().lower(), check)


# A whole number of seconds may come as an integer.
_SECONDS: Final = _Kind((float, int), seconds, _amount)
_SIZE: Final = _Kind((int,), size, _amount)
_SWITCH: Final = _Kind((bool,), switch, _anything)


def _option(default: Any, kind: _Kind) -> Any:
    return field(default=default, metadata={_KIND: kind})


@frozen
class Options:
    """What our supervisor says in `init.options`, and a foreign one's environment otherwise."""

    cancel_grace: float = _option(5.0, _SECONDS)
    """Seconds from a `Cancel` to the terminal message; then the supervisor ends the worker."""
    concurrency: str = _option("auto", _one_of("auto", "threads"))
    """How a sync model fills several slots: "auto", not at all; "threads", one thread a slot."""
    event_loop: str = _option("asyncio", _one_of("asyncio", "uvloop", "trio"))
    """What async models run on."""
    allow_local_files: bool = _option(False, _SWITCH)
    """Whether a client may name a file of this machine as a file input."""
    deny_private_urls: bool = _option(False, _SWITCH)
    """Whether URLs to loopback and private addresses are refused; link-local ones always are."""
    download_max: int = _option(16 * 1024**3, _SIZE)
    """Bytes that one downloaded file may have."""
    download_timeout: float = _option(600.0, _SECONDS)
    """Seconds for all downloads of one prediction together."""
    block_warning: float = _option(1.0, _SECONDS)
    """Seconds without a turn of the event loop until a warning names what blocks it; 0: never."""
    error_prefixes: bool = _option(False, _SWITCH)
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
    return Options(**_from_message(sent))


def _from_message(sent: Mapping[str, Any]) -> dict[str, Any]:
    values = {}
    for each in fields(Options):
        value = sent.get(each.name)
        if value is not None:
            try:
                values[each.name] = each.metadata[_KIND].checked(value)
            except ValueError as error:
                raise BadOption(f"init.options.{each.name}: {error}") from None
    return values


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for each in fields(Options):
        variable = f"COGLET_{each.name.upper()}"
        text = environ.get(variable)
        if text:
            kind = each.metadata[_KIND]
            try:
                values[each.name] = kind.checked(kind.parse(text))
            except ValueError as error:
                raise BadOption(f"{variable}: {error}") from None
    return values
