"""The operator's options as far as they concern the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Options", "options_from"]


@frozen
class Options:
    """What our supervisor says in `init.options`, and a foreign one's environment otherwise."""

    cancel_grace: float = 5.0
    """Seconds from a `Cancel` to the terminal message; then the supervisor ends the worker."""


def options_from(sent: Mapping[str, Any] | None, environ: Mapping[str, str]) -> Options:
    """The effective options; unknown ones are for newer workers and mean nothing.

    Args:
        sent: `init.options`; None under a foreign parent.
        environ: where a foreign parent's operator writes `COGLET_<OPTION>`.

    Raises:
        ValueError: a value is no number.
    """
    if sent is None:
        names = (field.name for field in fields(Options))
        found = {name: environ.get(f"COGLET_{name.upper()}") for name in names}
        sent = {name: value for name, value in found.items() if value}
    grace = sent.get("cancel_grace")
    return Options() if grace is None else Options(cancel_grace=float(grace))
