"""The metrics of one prediction, by the rules of `spec/protocol.md` 5, and what they weigh."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, TypeGuard, assert_never

from attrs import define

from protocol.errors import Unserialisable
from protocol.json_text import dumps
from protocol.messages import Metric, MetricMode

__all__ = ["Metrics"]

_DEPTH_MAX: Final = 16
"""Parts of a name. The SDK allows four; a lying worker must not nest without end."""

_BRACKETS: Final = 2
_PUNCTUATION: Final = 2
"""After a name in an object a colon, after its value a comma."""


@define
class _Leaf:
    """A value and its bytes as JSON. No name reaches into it; only a list that it is may grow."""

    value: Any
    size: int


_Object: TypeAlias = "dict[str, _Leaf | _Object]"


class Metrics:
    """Named values; dots in a name make nested objects.

    Args:
        limit: bytes of JSON that the names and values may have together, to within a byte each.
    """

    def __init__(self, limit: int) -> None:
        self._root: _Object = {}
        self._limit = limit
        self._size = _BRACKETS

    @property
    def size(self) -> int:
        """Bytes of JSON."""
        return self._size

    def apply(self, metric: Metric) -> str | None:
        """Take in one message. Not None: it was ignored, for this reason, one of a few."""
        path = metric.name.split(".")
        if not all(path):
            return "its name, or a part of it, is empty"
        if len(path) > _DEPTH_MAX:
            return f"its name has more than {_DEPTH_MAX} parts"
        try:
            return self._apply(metric.mode, path, metric.value)
        except Unserialisable:
            return "JSON cannot say its value"

    def snapshot(self) -> dict[str, Any]:
        """The metrics now. Later messages do not change what was returned."""
        return _plain_object(self._root)

    def _apply(self, mode: MetricMode, path: list[str], value: Any) -> str | None:
        level = self._root
        while len(path) > 1 and (inner := self._object_at(level, path[0])) is not None:
            level, path = inner, path[1:]
        name, *inside = path
        old = level.get(name)
        if mode is MetricMode.APPEND and not inside and _is_list(old):
            return self._append(old, _leaf(value))
        new = _result(mode, None if inside else old, value)
        if new is old:
            return None
        for inner_name in reversed(inside):
            if new is None:
                return None  # nothing makes no objects around it
            new = {inner_name: new}
        growth = _entry_size(name, new) - _entry_size(name, old)
        if self._lacks_room(growth):
            return self._no_room()
        self._size += growth
        if new is None:
            level.pop(name, None)
        else:
            level[name] = new
        return None

    def _append(self, old: _Leaf, more: _Leaf) -> str | None:
        growth = more.size + 1
        if self._lacks_room(growth):
            return self._no_room()
        self._size += growth
        old.size += growth
        old.value.append(more.value)
        return None

    def _lacks_room(self, growth: int) -> bool:
        return growth > 0 and self._size + growth > self._limit

    def _no_room(self) -> str:
        return f"the prediction has more than {self._limit} bytes of them (--max-metrics)"

    def _object_at(self, level: _Object, name: str) -> _Object | None:
        """The object at `name`, opened for names that reach into it; None: there is no object."""
        found = level.get(name)
        if isinstance(found, _Leaf) and isinstance(found.value, dict):
            # Its lists may grow now, and a snapshot may have the ones that it came with.
            opened: _Object = {inner: _leaf(_copy(value)) for inner, value in found.value.items()}
            self._size += _size(opened) - found.size
            level[name] = found = opened
        return None if isinstance(found, _Leaf) else found


def _result(mode: MetricMode, old: _Leaf | _Object | None, value: Any) -> _Leaf | _Object | None:
    """What stands at a name after one message, if it is no list to append to; None: nothing."""
    match mode:
        case MetricMode.REPLACE:
            return None if value is None else _leaf(value)
        case MetricMode.APPEND:
            return _leaf([value] if old is None else [_plain(old), value])
        case MetricMode.INCREMENT:
            return _sum(old, value)
        case _:
            assert_never(mode)


def _sum(old: _Leaf | _Object | None, more: Any) -> _Leaf | _Object | None:
    """Their sum; what was there before if one is no number, or no float can hold the sum."""
    before = 0 if old is None else _plain(old)
    if not _is_number(before) or not _is_number(more):
        return old
    try:
        return _leaf(before + more)
    except OverflowError:
        return old


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(entry: _Leaf | _Object | None) -> TypeGuard[_Leaf]:
    return isinstance(entry, _Leaf) and isinstance(entry.value, list)


def _leaf(value: Any) -> _Leaf:
    return _Leaf(value, len(dumps(value)))


def _size(entry: _Leaf | _Object) -> int:
    if isinstance(entry, _Leaf):
        return entry.size
    return _BRACKETS + sum(_entry_size(name, inner) for name, inner in entry.items())


def _entry_size(name: str, entry: _Leaf | _Object | None) -> int:
    return 0 if entry is None else len(dumps(name)) + _PUNCTUATION + _size(entry)


def _plain(entry: _Leaf | _Object) -> Any:
    return _copy(entry.value) if isinstance(entry, _Leaf) else _plain_object(entry)


def _plain_object(entries: _Object) -> dict[str, Any]:
    return {name: _plain(entry) for name, entry in entries.items()}


def _copy(value: Any) -> Any:
    """Deep enough: what a list or an object holds is never changed."""
    return list(value) if isinstance(value, list) else value
