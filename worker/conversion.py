"""From JSON values to what an annotation asks for: converters, made once from shapes.

Converting goes in two steps, so that all files of a prediction are fetched at once: a converter
looks at a value and begins what takes time, its plan waits and answers the converted value.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from worker import shapes
from worker.files import InputFailure, is_url, local_path
from worker.shapes import Scalar

if TYPE_CHECKING:
    from worker.files import InputFiles
    from worker.shapes import Shape

__all__ = ["Converter", "Plan", "converter_for"]

Plan: TypeAlias = Callable[[], Any]
"""Answers the converted value. Raises `InputFailure`."""

Converter: TypeAlias = Callable[[Any, str, "InputFiles", bool], Plan]
"""Begins the conversion: a value, the name of its place, the files, whether it can be trusted.

A default can: it was written by the model's author, who may name local files and any URL.
"""


def converter_for(shape: Shape) -> Converter | None:
    """How JSON values become what `shape` asks for; None: they stay as they are.

    A value that does not fit the shape is left as it is: to refuse it is the schema's business.
    """
    match shape:
        case shapes.FilePath(make):
            return _file_path(make)
        case shapes.FileStream(text):
            return _file_stream(text=text)
        case shapes.SecretText(make):
            return _secret(make)
        case shapes.Choice(values, make) if make is not None:
            return _member(values, make)
        case shapes.Array(item, make):
            return _array(converter_for(item), make)
        case shapes.Stream(item):
            return _array(converter_for(item), None)
        case shapes.Mapping(value):
            return _mapping(converter_for(value))
        case shapes.Nullable(inner):
            return _nullable(converter_for(inner))
        case shapes.Union(variants):
            return _union(variants)
        case shapes.Constrained(inner, _):
            return converter_for(inner)
        case _:
            return None


def _as_it_is(value: Any) -> Plan:
    return lambda: value


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Put the input's name in front of what goes wrong."""
    try:
        yield
    except InputFailure as error:
        raise InputFailure(f"{place}: {error}") from error.__cause__


def _local_path(value: str, files: InputFiles, *, trusted: bool) -> str:
    if not (trusted or files.options.allow_local_files):
        raise InputFailure(
            "give an http:, https: or data: URL; paths of files on the server are refused "
            "unless its operator allows them (--allow-local-files)"
        )
    return local_path(value)


def _file_path(make: Callable[[str], Any]) -> Converter:
    def begin(value: str, files: InputFiles, *, trusted: bool) -> Plan:
        if is_url(value):
            path = files.path(value, trusted=trusted)
            return lambda: make(path())
        local = _local_path(value, files, trusted=trusted)
        return lambda: make(local)

    return _for_text(begin)


def _file_stream(*, text: bool) -> Converter:
    def begin(value: str, files: InputFiles, *, trusted: bool) -> Plan:
        if is_url(value):
            stream = files.stream(value, trusted=trusted)
        else:
            stream = partial(files.open, _local_path(value, files, trusted=trusted))
        return (lambda: io.TextIOWrapper(stream(), encoding="utf-8")) if text else stream

    return _for_text(begin)


def _for_text(begin: Callable[..., Plan]) -> Converter:
    """A converter of strings, which names the place of what goes wrong."""

    def convert(value: Any, place: str, files: InputFiles, trusted: bool) -> Plan:
        if not isinstance(value, str):
            return _as_it_is(value)
        with _naming(place):
            plan = begin(value, files, trusted=trusted)

        def run() -> Any:
            with _naming(place):
                return plan()

        return run

    return convert


def _secret(make: Callable[[str], Any]) -> Converter:
    def convert(value: Any, _: str, __: InputFiles, ___: bool) -> Plan:
        return (lambda: make(value)) if isinstance(value, str) else _as_it_is(value)

    return convert


def _member(values: tuple[Any, ...], make: Callable[[Any], Any]) -> Converter:
    def convert(value: Any, _: str, __: InputFiles, ___: bool) -> Plan:
        return (lambda: make(value)) if value in values else _as_it_is(value)

    return convert


def _nullable(inner: Converter | None) -> Converter | None:
    if inner is None:
        return None

    def convert(value: Any, place: str, files: InputFiles, trusted: bool) -> Plan:
        return _as_it_is(None) if value is None else inner(value, place, files, trusted)

    return convert


def _array(item: Converter | None, make: Callable[[list[Any]], Any] | None) -> Converter | None:
    if item is None and make is None:
        return None

    def convert(value: Any, place: str, files: InputFiles, trusted: bool) -> Plan:
        if not isinstance(value, list):
            return _as_it_is(value)
        if item is None:
            plans = [_as_it_is(each) for each in value]
        else:
            plans = [item(each, f"{place}[{i}]", files, trusted) for i, each in enumerate(value)]

        def run() -> Any:
            converted = [plan() for plan in plans]
            return converted if make is None else make(converted)

        return run

    return convert


def _mapping(item: Converter | None) -> Converter | None:
    if item is None:
        return None

    def convert(value: Any, place: str, files: InputFiles, trusted: bool) -> Plan:
        if not isinstance(value, dict):
            return _as_it_is(value)
        plans = {
            key: item(each, f"{place}[{key!r}]", files, trusted) for key, each in value.items()
        }
        return lambda: {key: plan() for key, plan in plans.items()}

    return convert


def _union(variants: tuple[Shape, ...]) -> Converter | None:
    """The first variant that takes the value; those that convert come before those that do not.

    So a URL for `str | Path` becomes a file, and any other text stays a text.
    """
    bare = [shapes.without_constraints(shape)[0] for shape in variants]
    converters = [(shape, converter_for(shape)) for shape in bare]
    converting = [(shape, each) for shape, each in converters if each is not None]
    if not converting:
        return None
    takes_text = Scalar.STRING in bare

    def convert(value: Any, place: str, files: InputFiles, trusted: bool) -> Plan:
        for shape, converter in converting:
            if _takes(shape, value, any_text=not takes_text):
                return converter(value, place, files, trusted)
        return _as_it_is(value)

    return convert


def _takes(shape: Shape, value: Any, *, any_text: bool) -> bool:
    """Whether a value is meant for this variant of a union.

    Args:
        shape: the variant.
        value: what the client sent.
        any_text: whether a text that is no URL can only be meant as a file.
    """
    match shape:
        case shapes.FilePath() | shapes.FileStream():
            return isinstance(value, str) and (any_text or is_url(value))
        case shapes.SecretText():
            return isinstance(value, str)
        case shapes.Choice(values):
            return value in values
        case shapes.Array() | shapes.Stream():
            return isinstance(value, list)
        case shapes.Mapping():
            return isinstance(value, dict)
        case shapes.Nullable(inner):
            return value is None or _takes(inner, value, any_text=any_text)
        case _:
            return False
