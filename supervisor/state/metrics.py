"""The metrics of one prediction, by the rules of `spec/protocol.md` 5."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, assert_never

from protocol.messages import Metric, MetricMode

__all__ = ["Metrics"]


_DEPTH_MAX: Final = 16
"""Parts of a name. The SDK allows four; a lying worker must not nest without end."""

_Path: TypeAlias = tuple[str, ...]


class Metrics:
    """Named values; dots in a name make nested objects.

    Args:
        limit: bytes of the messages whose values are kept.
    """

    def __init__(self, limit: int) -> None:
        self._values: dict[str, Any] = {}
        self._limit = limit
        self._sizes: dict[_Path, int] = {}
        self._total = 0

    def apply(self, metric: Metric, size: int) -> str | None:
        """Take in one message of `size` bytes. Not None: it was ignored, for this reason."""
        path = tuple(metric.name.split("."))
        if not all(path):
            return "its name, or a part of it, is empty"
        if len(path) > _DEPTH_MAX:
            return f"its name has more than {_DEPTH_MAX} parts"
        if metric.mode is MetricMode.INCREMENT and not _is_number(metric.value):
            return None
        deletes = metric.mode is MetricMode.REPLACE and metric.value is None
        if self._total + size > self._limit and not deletes:
            size_before = self._sizes.get(path, 0)
            appends = metric.mode is MetricMode.APPEND
            if appends or self._total - size_before + size > self._limit:
                return f"the prediction has more than {self._limit} bytes of them (--max-metrics)"
        level = self._level(path, make=not deletes)
        if level is None:
            return None
        if metric.mode is MetricMode.REPLACE:
            self._forget(path, level)
        self._apply(metric, level, path[-1])
        if not deletes and (metric.mode is not MetricMode.INCREMENT or path not in self._sizes):
            self._sizes[path] = self._sizes.get(path, 0) + size
            self._total += size
        return None

    def _level(self, path: _Path, *, make: bool) -> dict[str, Any] | None:
        """The object that the last name of `path` belongs in."""
        level = self._values
        for depth, name in enumerate(path[:-1], 1):
            inner = level.get(name)
            if not isinstance(inner, dict):
                if not make:
                    return None
                self._forget(path[:depth], level)
                inner = level[name] = {}
            level = inner
        return level

    def _forget(self, path: _Path, level: dict[str, Any]) -> None:
        """Count no more what is, or was nested, at `path`."""
        gone = [path]
        if isinstance(level.get(path[-1]), dict):
            gone = [known for known in self._sizes if known[: len(path)] == path]
        for known in gone:
            self._total -= self._sizes.pop(known, 0)

    def _apply(self, metric: Metric, level: dict[str, Any], name: str) -> None:
        match metric.mode:
            case MetricMode.REPLACE if metric.value is None:
                level.pop(name, None)
            case MetricMode.REPLACE:
                level[name] = metric.value
            case MetricMode.APPEND:
                _append(level, name, metric.value)
            case MetricMode.INCREMENT:
                level[name] = _sum(level.get(name, 0), metric.value)
            case _:
                assert_never(metric.mode)

    def snapshot(self) -> dict[str, Any]:
        """The metrics now. Later messages do not change what was returned."""
        return {name: _copy(value) for name, value in self._values.items()}


def _append(level: dict[str, Any], name: str, value: Any) -> None:
    if name not in level:
        level[name] = [value]
    elif isinstance(level[name], list):
        level[name].append(value)
    else:
        level[name] = [level[name], value]


def _sum(old: Any, more: float) -> Any:
    """Their sum; what was there before if that is no number, or no float can hold the sum."""
    if not _is_number(old):
        return old
    try:
        return old + more
    except OverflowError:
        return old


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_copy(inner) for inner in value]
    return value
