"""The one walk over what a model answers: from any object to plain JSON values.

What JSON cannot say is refused with its place, `output.scores[3]`. The walk copies, so the model
may go on changing its own objects.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import attrs

from protocol.json_text import INT_MAX, INT_MIN, TOO_LONG
from worker.error_text import describe
from worker.output_files import as_data_url, file_as_data_url, is_file
from worker.places import ROOT, OutputFailure, Place

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DEPTH_MAX", "MASK", "bad_text", "is_array", "plain_json"]

DEPTH_MAX: Final = 100
"""Levels of lists and objects in one output; coglet's supervisor parses 127."""

MASK: Final = "**********"
"""What a secret in an output is shown as."""

_LEAVES: Final = frozenset({str, bool, type(None)})
"""The types whose values are plain JSON already. Integers may be too long, floats may be NaN."""


def plain_json(
    value: Any, place: Place = ROOT, put_file: Callable[[Any, Place, str], Any] | None = None
) -> Any:
    """`value` as plain JSON: str, int, float, bool, None, lists, and dicts with str as keys.

    Order of keys and size of integers are kept. Secrets are masked, files become data URLs.

    Args:
        value: what a model answers.
        place: that of `value` in the output.
        put_file: what a file becomes instead; it gets the file, its place, and where it is in
            `value` as a JSON Pointer.

    Raises:
        OutputFailure: something in it has no form in JSON; the text names the place.
    """
    return _Walk(place, put_file).value(value, place.parent, place.step)


def bad_text(plain: Any, parent: Place | None = None, step: object = ROOT.step) -> Place | None:
    """Where a plain value holds a text that is no Unicode (half a surrogate pair)."""
    if isinstance(plain, str):
        return None if _is_unicode(plain) else Place(parent, step)
    place = Place(parent, step)
    if isinstance(plain, dict):
        if not all(map(_is_unicode, plain)):
            return place
        found = (bad_text(item, place, key) for key, item in plain.items())
    elif isinstance(plain, list):
        found = (bad_text(item, place, index) for index, item in enumerate(plain))
    else:
        return None
    return next(filter(None, found), None)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_array(value: Any) -> bool:
    """Whether `value` is an array or a scalar of numpy, a tensor of PyTorch, or alike."""
    return callable(getattr(type(value), "tolist", None)) and hasattr(value, "dtype")


class _Walk:
    def __init__(self, place: Place, put_file: Callable[[Any, Place, str], Any] | None) -> None:
        self._around = place.parent
        self._put_file = put_file
        self._open: list[int] = []
        """The identities of the containers around the present place."""

    def value(self, value: Any, parent: Place | None, step: object) -> Any:
        """The plain form of what lies at `step` in `parent`; a `Place` is made only if needed."""
        kind = type(value)
        if (
            (kind is int and INT_MIN <= value <= INT_MAX)
            or kind in _LEAVES
            or (kind is float and isfinite(value))
        ):
            return value
        place = Place(parent, step)
        if isinstance(value, (float, Enum, str, int)):
            return self._scalar(value, place)
        self._enter(value, place)
        try:
            if kind is dict:
                return self._mapping(value, place)
            return self._items(value, place) if kind is list else self._object(value, place)
        except OutputFailure:
            raise
        # Iterators, properties and `model_dump` are the model's code.
        except Exception as error:
            raise place.failure(describe(error)) from error
        finally:
            self._open.pop()

    def _scalar(self, value: Any, place: Place) -> Any:
        if isinstance(value, Enum):
            return self._again(value.value, place)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, float):
            if not isfinite(value):
                raise place.failure(f"{float(value)} is no number in JSON")
            return float(value)
        plain = int(value)
        if not INT_MIN <= plain <= INT_MAX:
            raise place.failure(TOO_LONG)
        return plain

    def _enter(self, value: Any, place: Place) -> None:
        identity = id(value)
        if identity in self._open:
            raise place.failure("contains itself")
        if len(self._open) == DEPTH_MAX:
            raise place.failure(f"more than {DEPTH_MAX} levels")
        self._open.append(identity)

    def _object(self, value: Any, place: Place) -> Any:
        kind = type(value)
        if isinstance(value, type):
            raise place.failure(f"the class {value.__name__} itself is no output")
        if callable(getattr(kind, "get_secret_value", None)):
            return MASK
        if isinstance(value, Mapping):
            return self._mapping(value, place)
        for method in ("model_dump", "dict"):  # pydantic 2 and 1
            if callable(getattr(kind, method, None)):
                return self._again(getattr(value, method)(), place)
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            return self._mapping({name: getattr(value, name) for name in names}, place)
        if attrs.has(kind):
            names = [field.name for field in attrs.fields(kind)]
            return self._mapping({name: getattr(value, name) for name in names}, place)
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, decimal.Decimal | uuid.UUID):
            return str(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return as_data_url(bytes(value))
        if is_file(value):
            if self._put_file is not None:
                return self._put_file(value, place, _pointer(place, self._around))
            return file_as_data_url(value, place)
        if is_array(value):
            return self._again(value.tolist(), place)
        if isinstance(value, Sequence | Set | ValuesView | Iterator):
            return self._items(value, place)
        raise place.failure(f"an object of type {kind.__name__} has no form in JSON")

    def _again(self, value: Any, place: Place) -> Any:
        return self.value(value, place.parent, place.step)

    def _items(self, items: Iterable[Any], place: Place) -> list[Any]:
        walk = self.value
        return [
            item
            if (type(item) is int and INT_MIN <= item <= INT_MAX)
            or type(item) in _LEAVES
            or (type(item) is float and isfinite(item))
            else walk(item, place, index)
            for index, item in enumerate(items)
        ]

    def _mapping(self, mapping: Mapping[Any, Any], place: Place) -> dict[str, Any]:
        walk = self.value
        return {
            (key if type(key) is str else _key(key, place)): (
                item
                if (type(item) is int and INT_MIN <= item <= INT_MAX) or type(item) in _LEAVES
                else walk(item, place, key)
            )
            for key, item in mapping.items()
        }


def _pointer(place: Place, around: Place | None) -> str:
    """Where `place` is in the value that lies directly in `around`, as a JSON Pointer."""
    steps = []
    while place.parent is not None and place.parent is not around:
        steps.append(_key(place.step, place).replace("~", "~0").replace("/", "~1"))
        place = place.parent
    return "".join(f"/{step}" for step in reversed(steps))


def _key(key: Any, place: Place) -> str:
    """A key of an object, as Python's `json` writes it, and a few more."""
    match key:
        case Enum():
            return _key(key.value, place)
        case str():
            return str.__str__(key)
        case True:
            return "true"
        case False:
            return "false"
        case None:
            return "null"
        case int() | uuid.UUID():
            return str(key)
        case float() if isfinite(key):
            return repr(float(key))
        case datetime.date():
            return key.isoformat()
        case _:
            raise place.failure(f"{key!r} cannot be a key of a JSON object")
