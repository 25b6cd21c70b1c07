"""The metrics of one prediction, by the rules of `spec/protocol.md` 5."""

from __future__ import annotations

from typing import Any

from protocol.messages import Metric, MetricMode

__all__ = ["Metrics"]


class Metrics:
    """Named values; dots in a name make nested objects."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def apply(self, metric: Metric) -> bool:
        """Take in one message. False: its name is not allowed, and it was ignored."""
        *parents, last = metric.name.split(".")
        if not last or not all(parents):
            return False
        if metric.mode is MetricMode.INCREMENT and not _is_number(metric.value):
            return True
        deletes = metric.mode is MetricMode.REPLACE and metric.value is None
        level = self._values
        for name in parents:
            inner = level.get(name)
            if not isinstance(inner, dict):
                if deletes:
                    return True
                inner = level[name] = {}
            level = inner
        if deletes:
            level.pop(last, None)
        elif metric.mode is MetricMode.REPLACE:
            level[last] = metric.value
        elif metric.mode is MetricMode.APPEND:
            _append(level, last, metric.value)
        else:
            level[last] = _sum(level.get(last, 0), metric.value)
        return True

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
