"""What stands as the default of a parameter: a value, or an object that declares the input.

Such objects are made by the SDK's `Input()` and by pydantic's `Field()`. Neither library is there
unless the model uses it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from inspect import Parameter
from typing import Any, Final

from attrs import frozen

__all__ = ["NO_DEFAULT", "Made", "default_of", "is_declaration", "is_input"]


class _NoDefault(Enum):
    NO_DEFAULT = "no default"


NO_DEFAULT: Final = _NoDefault.NO_DEFAULT
"""Stands where a parameter has no default."""


@frozen
class Made:
    """A default that is made anew for each prediction: `Field(default_factory=...)`."""

    make: Callable[[], Any]


def is_input(declared: Any) -> bool:
    """Whether it is what the SDK's `Input()` makes."""
    return _is_made_by("cog.input", declared)


def is_declaration(declared: Any) -> bool:
    """Whether it says something about the input, and is not itself the default."""
    return is_input(declared) or _is_made_by("pydantic.fields", declared)


def default_of(declared: Any) -> Any:
    """The default that `declared` stands for: a value, `Made`, or NO_DEFAULT."""
    if declared is Parameter.empty:
        return NO_DEFAULT
    if is_input(declared):
        return declared.default
    if not is_declaration(declared):
        return declared
    factory = getattr(declared, "default_factory", None)
    if callable(factory):
        return Made(factory)
    # What pydantic has for "none" is an object of its own, of another class in each version.
    is_none = declared.default is ... or type(declared.default).__name__ in _UNDEFINED
    return NO_DEFAULT if is_none else declared.default


_UNDEFINED: Final = ("PydanticUndefinedType", "UndefinedType")


def _is_made_by(module: str, declared: Any) -> bool:
    kind = getattr(sys.modules.get(module), "FieldInfo", None)
    return isinstance(kind, type) and isinstance(declared, kind)
