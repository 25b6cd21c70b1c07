"""What an annotation means to a client that speaks JSON: one small tree of shapes.

Conversion of inputs and the OpenAPI document are both made from shapes; `worker.annotations` finds
the shape of an annotation.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeAlias

from attrs import frozen

from worker.constraints import NO_CONSTRAINTS, Constraints, constraints_of

__all__ = [
    "AnyValue",
    "Array",
    "Choice",
    "Constrained",
    "FilePath",
    "FileStream",
    "Mapping",
    "Nullable",
    "OpenObject",
    "Record",
    "RecordField",
    "Scalar",
    "SecretText",
    "Shape",
    "Stream",
    "Union",
    "Unknown",
    "constrained",
    "without_constraints",
]


class Scalar(Enum):
    """The plain JSON values, by their names in JSON Schema."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"


@frozen
class Unknown:
    """Nothing can be said about it."""


@frozen
class AnyValue:
    """What is annotated with `Any`. coglet's document calls it an object."""


@frozen
class OpenObject:
    """A JSON object of which no more is known."""


@frozen
class FilePath:
    """A file that the model gets as a path."""

    make: Callable[[str], Any]
    """From the path as text to the path that the annotation names."""


@frozen
class FileStream:
    """A file that the model gets open for reading."""

    text: bool = False


@frozen
class SecretText:
    """A text that is not to be shown."""

    make: Callable[[str], Any]


@frozen
class Choice:
    """One of a few values: an `Enum` or a `Literal`."""

    values: tuple[Any, ...]
    make: Callable[[Any], Any] | None = None
    """From the value to the member of the enumeration; None: the value itself."""


@frozen
class Array:
    """Any number of items of one shape."""

    item: Shape
    make: Callable[[list[Any]], Any] | None = None
    """From the list to another collection; None: the list itself."""


@frozen
class Mapping:
    """An object with any keys and values of one shape."""

    value: Shape


@frozen
class RecordField:
    """One field of a `Record`."""

    name: str
    shape: Shape
    required: bool


@frozen
class Record:
    """An object with known fields: a dataclass, a `TypedDict`, an attrs or pydantic class."""

    fields: tuple[RecordField, ...]


@frozen
class Stream:
    """Items that come one after another."""

    item: Shape
    concatenated: bool = False
    """Whether the items are pieces of one text."""


@frozen
class Union:
    """One of several shapes."""

    variants: tuple[Shape, ...]


@frozen
class Nullable:
    """A shape, or null."""

    inner: Shape


@frozen
class Constrained:
    """A shape of which more is said than its type. Made by `constrained` only."""

    inner: Shape
    constraints: Constraints


def constrained(shape: Shape, constraints: Constraints) -> Shape:
    """`shape` with more constraints; null, where it is allowed, is free of them."""
    if constraints == NO_CONSTRAINTS:
        return shape
    match shape:
        case Nullable(inner):
            return Nullable(constrained(inner, constraints))
        case Constrained(inner, own):
            return Constrained(inner, constraints_of(own, constraints))
        case _:
            return Constrained(shape, constraints)


def without_constraints(shape: Shape) -> tuple[Shape, Constraints]:
    """A shape without its own constraints, and these; what is inside it keeps its own."""
    match shape:
        case Constrained(inner, constraints):
            return inner, constraints
        case Nullable(Constrained(inner, constraints)):
            return Nullable(inner), constraints
        case _:
            return shape, NO_CONSTRAINTS


Shape: TypeAlias = (
    Scalar
    | Unknown
    | AnyValue
    | OpenObject
    | FilePath
    | FileStream
    | SecretText
    | Choice
    | Array
    | Mapping
    | Record
    | Stream
    | Union
    | Nullable
    | Constrained
)
