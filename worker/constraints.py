"""What is said of an input besides its type: by `Input()`, or beside the type in `Annotated`.

Whoever says it is known by the names of its attributes, which `cog`, annotated-types, pydantic and
msgspec share: the model's environment need not have any of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from math import isfinite
from numbers import Integral, Real
from typing import Any, Final

from attrs import frozen

__all__ = ["NO_CONSTRAINTS", "Constraints", "constraints_of"]


@frozen
class Constraints:
    """All that can be said; what is not said is None, False or empty."""

    description: str | None = None
    ge: float | None = None
    le: float | None = None
    gt: float | None = None
    lt: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    """Of a text its characters, of a collection its items."""
    max_length: int | None = None
    regex: str | None = None
    choices: tuple[Any, ...] = ()
    deprecated: bool = False
    accept: str | None = None


NO_CONSTRAINTS: Final = Constraints()


def constraints_of(*sources: Any) -> Constraints:
    """Gather what `sources` say: objects of any kind, each with more weight than those before it.

    Limits add up, so the tighter one counts. A plain text describes the input, if nothing else
    does. What says nothing that we know is passed over.
    """
    found: dict[str, Any] = {}
    for source in _flattened(sources):
        for name, value in _said_by(source):
            tighter = _TIGHTER.get(name)
            found[name] = tighter(found[name], value) if tighter and name in found else value
    texts = (source for source in sources if isinstance(source, str))
    found.setdefault("description", next(texts, None))
    return Constraints(**found)


def _flattened(sources: Iterable[Any]) -> Iterator[Any]:
    """The sources, and before each the others that it holds."""
    for source in sources:
        if isinstance(source, type):
            continue
        if getattr(source, "__is_annotated_types_grouped_metadata__", False) is True:
            yield from _flattened(source)
        kept = getattr(source, "metadata", None)  # where pydantic's `Field(ge=1)` keeps `Ge(1)`
        if isinstance(kept, list | tuple):
            yield from _flattened(kept)
        yield source


def _said_by(source: Any) -> Iterator[tuple[str, Any]]:
    for name, (attributes, read) in _READ.items():
        for attribute in attributes:
            said = getattr(source, attribute, None)
            value = None if said is None or callable(said) else read(said)
            if value is not None:
                yield name, value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real | Decimal) and isfinite(value):
        return float(value)
    return None


def _step(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _count(value: Any) -> int | None:
    number = int(value) if isinstance(value, Integral) else -1
    return number if number >= 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _pattern(value: Any) -> str | None:
    return _text(value.pattern if isinstance(value, re.Pattern) else value)


def _choices(value: Any) -> tuple[Any, ...] | None:
    is_several = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return (tuple(value) or None) if is_several else None


def _flag(value: Any) -> bool | None:
    """A flag, or in its place the text that gives the reason."""
    return bool(value) or None


_READ: Final[dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]]] = {
    "description": (("description", "documentation"), _text),
    "ge": (("ge",), _number),
    "le": (("le",), _number),
    "gt": (("gt",), _number),
    "lt": (("lt",), _number),
    "multiple_of": (("multiple_of",), _step),
    "min_length": (("min_length",), _count),
    "max_length": (("max_length",), _count),
    "regex": (("regex", "pattern"), _pattern),
    "choices": (("choices",), _choices),
    "deprecated": (("deprecated",), _flag),
    "accept": (("accept",), _text),
}
"""For each constraint the attributes that may hold it, and what makes a value of it."""

_TIGHTER: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "ge": max,
    "gt": max,
    "min_length": max,
    "le": min,
    "lt": min,
    "max_length": min,
}
