"""From annotations to shapes. Nothing else in the worker looks at annotations.

A shape can be found for anything: what cannot be expressed is `Unknown`.
"""

from __future__ import annotations

import collections.abc as abc
import dataclasses
import io
import os
import pathlib
import types
import typing
from enum import Enum
from typing import Any, Final

import attrs

from worker.constraints import constraints_of
from worker.shapes import (
    AnyValue,
    Array,
    Choice,
    Constrained,
    FilePath,
    FileStream,
    Mapping,
    Nullable,
    OpenObject,
    Record,
    RecordField,
    Scalar,
    SecretText,
    Shape,
    Stream,
    Union,
    Unknown,
    constrained,
)

__all__ = ["shape_of"]

_COLLECTIONS: Final[tuple[tuple[type[Any], abc.Callable[[list[Any]], Any] | None], ...]] = (
    (tuple, tuple),
    (set, set),
    (frozenset, frozenset),
    (abc.Set, frozenset),
    (abc.Sequence, None),
)
"""The collections that a JSON list may become; None: it may stay a list."""

_WRAPPERS: Final = (typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)


def shape_of(annotation: Any) -> Shape:
    """The shape of an annotation whose strings have been resolved. Never raises."""
    try:
        return _shape(annotation, ())
    # Annotations are the model's code and may do anything when they are looked at.
    except Exception:
        return Unknown()


def _shape(annotation: Any, seen: tuple[type, ...]) -> Shape:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any or annotation is object:
        return AnyValue()
    if origin is typing.Annotated:
        inner, *metadata = arguments
        shape = constrained(_shape(inner, seen), constraints_of(*metadata))
        return _opaque(shape) if _has_opaque_marker(metadata) else shape
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, seen)
    if origin is typing.Literal:
        return _nullable_choice(arguments)
    if origin in _WRAPPERS:
        return _shape(arguments[0], seen)
    for attribute in ("__supertype__", "__value__"):  # NewType; the `type` statement
        if not isinstance(annotation, type) and hasattr(annotation, attribute):
            return _shape(getattr(annotation, attribute), seen)
    kind = origin or annotation
    if not isinstance(kind, type):
        return Unknown()
    if issubclass(kind, io.IOBase) or kind in (typing.IO, typing.BinaryIO, typing.TextIO):
        is_text = kind is typing.TextIO or arguments == (str,)
        return FileStream(text=is_text or issubclass(kind, io.TextIOBase))
    return _plain_class(kind) or _generic_class(kind, arguments, seen) or _record(kind, seen)


def _has_opaque_marker(metadata: list[Any]) -> bool:
    return any(type(item).__name__ == "_OpaqueMarker" for item in metadata)


def _opaque(shape: Shape) -> Shape:
    match shape:
        case Nullable(inner):
            return Nullable(_opaque(inner))
        case Constrained(inner, constraints):
            return constrained(_opaque(inner), constraints)
        case Array():
            return Array(OpenObject())
        case _:
            return OpenObject()


def _union(arguments: tuple[Any, ...], seen: tuple[type, ...]) -> Shape:
    variants = tuple(_shape(item, seen) for item in arguments if item is not type(None))
    shape = variants[0] if len(variants) == 1 else Union(variants)
    return Nullable(shape) if type(None) in arguments else shape


def _nullable_choice(values: tuple[Any, ...]) -> Shape:
    choice = Choice(tuple(value for value in values if value is not None))
    return Nullable(choice) if None in values else choice


def _plain_class(kind: type) -> Shape | None:
    """The shape of a class that stands for a single value."""
    if issubclass(kind, Enum):
        values = tuple(member.value for member in kind)
        can_be_sent = all(isinstance(value, (str, int, float)) for value in values)
        return Choice(values, kind) if can_be_sent else Unknown()
    for base, scalar in (
        (bool, Scalar.BOOLEAN),
        (int, Scalar.INTEGER),
        (float, Scalar.NUMBER),
        (str, Scalar.STRING),
    ):
        if issubclass(kind, base):
            return scalar
    if issubclass(kind, os.PathLike):
        is_abstract = kind is os.PathLike or kind is pathlib.PurePath
        return FilePath(pathlib.Path if is_abstract else kind)
    if callable(getattr(kind, "get_secret_value", None)):
        return SecretText(kind)
    return None


def _generic_class(kind: type, arguments: tuple[Any, ...], seen: tuple[type, ...]) -> Shape | None:
    """The shape of a class whose arguments say what it holds."""
    first = arguments[:1]
    if typing.is_typeddict(kind):
        return None
    if issubclass(kind, abc.Mapping):
        return Mapping(_shape(arguments[1], seen)) if len(arguments) == 2 else OpenObject()
    if issubclass(kind, (bytes, bytearray, memoryview)):
        return None
    for base, make in _COLLECTIONS:
        if issubclass(kind, base):
            is_fixed_tuple = kind is tuple and arguments[1:] not in ((), (...,))
            item = Unknown() if is_fixed_tuple else _item(first, seen)
            return Array(item, make if kind is base else None)
    if kind is abc.Collection:
        return Array(_item(first, seen))
    if kind in (abc.Iterable, abc.AsyncIterable) or issubclass(
        kind, (abc.Iterator, abc.AsyncIterator)
    ):
        return Stream(_item(first, seen), kind.__name__.endswith("ConcatenateIterator"))
    return None


def _item(arguments: tuple[Any, ...], seen: tuple[type, ...]) -> Shape:
    return _shape(arguments[0], seen) if arguments else OpenObject()


def _record(kind: type, seen: tuple[type, ...]) -> Shape:
    """The shape of a class with fields; an open object where it contains itself."""
    required = _required_fields(kind)
    if required is None:
        return Unknown()
    if kind in seen:
        return OpenObject()
    hints = typing.get_type_hints(kind, include_extras=True)
    fields = []
    for name, has_no_default in required.items():
        hint = hints.get(name, Any)
        shape = _shape(hint, (*seen, kind))
        is_optional = isinstance(shape, Nullable) and not typing.is_typeddict(kind)
        # A TypedDict does not see what stands in annotations that are strings.
        marked = {typing.Required: True, typing.NotRequired: False}.get(typing.get_origin(hint))
        is_required = (has_no_default and not is_optional) if marked is None else marked
        fields.append(RecordField(name, shape, is_required))
    return Record(tuple(fields))


def _required_fields(kind: Any) -> dict[str, bool] | None:
    """The names of a class's fields and whether they lack a default; None: it has no fields."""
    if typing.is_typeddict(kind):
        return {name: name in kind.__required_keys__ for name in kind.__annotations__}
    if dataclasses.is_dataclass(kind):
        return {
            field.name: field.default is field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(kind)
        }
    if attrs.has(kind):
        return {field.name: field.default is attrs.NOTHING for field in attrs.fields(kind)}
    pydantic_fields = getattr(kind, "model_fields", None)
    if isinstance(pydantic_fields, dict):
        return {name: field.is_required() for name, field in pydantic_fields.items()}
    return None
