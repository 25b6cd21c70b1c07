"""What a reference that leads nowhere may have meant: the end of the sentence that says so."""

from __future__ import annotations

import difflib
import inspect
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["files_near", "names_near"]

_METHODS: Final = ("run", "predict", "train", "__call__")

_LISTED_MAX: Final = 8


def files_near(path: str) -> str:
    """For a file that is not there: the ones of its folder that are spelt alike, or else all."""
    folder, wanted = os.path.split(path)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return ""
    return _ending([wanted], sorted(name for name in names if name.endswith(".py")))


def names_near(module: ModuleType, *wanted: str) -> str:
    """For names that a module does not have: those spelt alike, or else all that can be used."""
    own = {
        name: value
        for name, value in vars(module).items()
        if callable(value) or _has_method(value)
        if getattr(value, "__module__", None) == module.__name__ and not name.startswith("_")
    }
    usable = [
        name for name, value in own.items() if inspect.isfunction(value) or _has_method(value)
    ]
    return _ending(wanted, usable, own)


def _has_method(value: Any) -> bool:
    kind = value if isinstance(value, type) else type(value)
    methods = _METHODS[:-1] if isinstance(value, type) else _METHODS
    return any(hasattr(kind, method) for method in methods)


def _ending(wanted: Iterable[str], usable: list[str], more: Iterable[str] = ()) -> str:
    """A sentence about names, with the full stop before it; empty if there are none."""
    known = [*usable, *more]
    alike = {near: None for name in wanted for near in difflib.get_close_matches(name, known)}
    if alike:
        return f". Did you mean {' or '.join(map(repr, alike))}?"
    if not usable:
        return ""
    listed = ", ".join(map(repr, usable[:_LISTED_MAX]))
    return f". There is {listed}{', …' if len(usable) > _LISTED_MAX else ''}"
