"""What a model may say about the prediction that it runs: its metrics, and its context.

A scope belongs to one prediction. It is found through a context variable, so each prediction and
the tasks that it starts see their own; it goes silent when the prediction has ended.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import Unserialisable
from protocol.json_text import INT_MAX, INT_MIN, TOO_LONG, dumps
from protocol.limits import INLINE_MAX
from protocol.messages import Metric, MetricMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MetricRecorder", "Scope", "active_scope", "current", "current_scope", "enter_silence"]

NAME_MAX: Final = 128
"""Bytes of UTF-8 in the name of a metric."""

SEGMENTS_MAX: Final = 4
"""Segments between the dots of a name."""

DEPTH_MAX: Final = 100
"""Levels of lists and objects in one value; coglet's supervisor parses 127."""

_MODES: Final[dict[str | None, MetricMode]] = {
    None: MetricMode.REPLACE,
    "replace": MetricMode.REPLACE,
    "incr": MetricMode.INCREMENT,
    "increment": MetricMode.INCREMENT,
    "append": MetricMode.APPEND,
}
_TYPES: Final = (bool, int, float, str, list, dict)
"""What a metric may be; bool comes first because it is an int too."""


class MetricRecorder:
    """Records metrics of one prediction, item by item or as `recorder[name] = value`.

    A name keeps the type of its first value until it is deleted. Outside a prediction, after its
    end, and in a forked child nothing is recorded and nothing is said.
    """

    def __init__(self, send: Callable[[Metric], None] | None = None) -> None:
        self._send = send
        self._types: dict[str, type[Any]] = {}

    def record(self, key: str, value: Any, mode: str | None = None) -> None:
        """Record one value; None deletes the metric.

        Args:
            key: up to four segments between dots, which make nested objects.
            value: bool, int, float, str, list or dict.
            mode: "replace" (the default), "incr" or "append".

        Raises:
            ValueError: the name is malformed or reserved, or the value too big or no JSON.
            TypeError: the mode or the value's type is not allowed.
        """
        how = _MODES.get(mode) if mode is None or isinstance(mode, str) else None
        if how is None:
            raise TypeError(
                f"Invalid metric mode: {mode!r}. Expected 'replace', 'incr', or 'append'."
            )
        send = self._send
        if send is None:
            return
        if value is None:
            self.delete(key)
            return
        if key not in self._types:
            _check_name(key, may_be_reserved=False)
        kind = _type_of(value)
        self._check_type(key, kind, how)
        if how is MetricMode.INCREMENT and kind not in (int, float):
            raise TypeError(f"Increment mode requires int or float, got {kind.__name__}")
        plain = _plain(key, value)
        self._types.setdefault(key, kind)
        send(Metric(key, plain, how))

    def delete(self, key: str) -> None:
        """Delete a metric, if it is there.

        Raises:
            ValueError: the name is malformed.
        """
        send = self._send
        if send is None:
            return
        _check_name(key)
        self._types.pop(key, None)
        send(Metric(key, None, MetricMode.REPLACE))

    def close(self) -> None:
        """Record nothing from now on."""
        self._send = None

    def _check_type(self, key: str, kind: type[Any], how: MetricMode) -> None:
        known = self._types.get(key, kind)
        # What is appended goes into a list, and a list may hold anything.
        if known is not kind and how is not MetricMode.APPEND:
            raise TypeError(
                f"Metric '{key}' has type {known.__name__}, "
                f"cannot set to {kind.__name__} without deleting first"
            )

    def __setitem__(self, key: str, value: Any) -> None:
        self.record(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def __repr__(self) -> str:
        inside = "inactive" if self._send is None else f"keys={len(self._types)}"
        return f"MetricRecorder({inside})"


class Scope:
    """The running prediction, as the model sees it."""

    def __init__(self, metrics: MetricRecorder, context: dict[str, str]) -> None:
        self.metrics = metrics
        self.context = context

    def record_metric(self, key: str, value: Any, mode: str | None = None) -> None:
        """The same as `metrics.record`."""
        self.metrics.record(key, value, mode)

    def __repr__(self) -> str:
        return f"Scope({self.metrics!r})"


current: ContextVar[Scope | None] = ContextVar("coglet_scope", default=None)
"""The scope of the prediction to which a context belongs."""
_open: list[Scope] = []
"""The scopes of this process; a list, because a scope may be found from any thread."""
_process_wide: list[Scope] = []
"""At most one scope, for threads that inherited no context (where there is a single slot)."""


@contextmanager
def active_scope(
    send_metric: Callable[[Metric], None], context: dict[str, str], *, process_wide: bool = False
) -> Iterator[Scope]:
    """Make the scope of one prediction the current one.

    Args:
        send_metric: sends one metric; called in whatever thread records it.
        context: what the client sent along; the scope gets a copy.
        process_wide: also for threads that inherited no context. Only where one prediction runs
            at a time: with several, such a thread would write on a neighbour.
    """
    scope = Scope(MetricRecorder(send_metric), dict(context))
    token = current.set(scope)
    _open.append(scope)
    if process_wide:
        _process_wide[:] = [scope]
    try:
        yield scope
    finally:
        scope.metrics.close()
        _open.remove(scope)
        if scope in _process_wide:
            _process_wide.clear()
        current.reset(token)


def enter_silence() -> None:
    """From now on the current context, and what copies it, belongs to no prediction."""
    current.set(Scope(MetricRecorder(), {}))


def current_scope() -> Scope:
    """The scope of the prediction that runs here; a silent one outside of predictions."""
    scope = current.get()
    if scope is None and _process_wide:
        return _process_wide[0]
    return Scope(MetricRecorder(), {}) if scope is None else scope


def _silence_child() -> None:
    """In a forked child no scope can reach the supervisor, whoever holds it."""
    for scope in _open:
        scope.metrics.close()
    _process_wide.clear()


os.register_at_fork(after_in_child=_silence_child)


def _check_name(name: str, *, may_be_reserved: bool = True) -> None:
    if not isinstance(name, str):
        raise TypeError(f"metric name must be a str, not {type(name).__name__}")
    if not may_be_reserved and name == "predict_time":
        raise ValueError("'predict_time' is reserved by the runtime")
    if not may_be_reserved and name.startswith("cog."):
        raise ValueError("the 'cog.' prefix is reserved for system metrics")
    if not name:
        raise ValueError("metric name must not be empty")
    size = len(name.encode(errors="surrogatepass"))
    if size > NAME_MAX:
        raise ValueError(
            f"metric name must be {NAME_MAX} characters or fewer (got {size} characters)"
        )
    segments = name.split(".")
    if len(segments) > SEGMENTS_MAX:
        raise ValueError(
            f"metric name must have at most {SEGMENTS_MAX} dot-separated segments "
            f"(got {len(segments)})"
        )
    if not segments[0]:
        raise ValueError("metric name must not start with a dot")
    if not segments[-1]:
        raise ValueError("metric name must not end with a dot")
    if not all(segments):
        raise ValueError("metric name must not contain empty segments (consecutive dots)")
    for segment in segments:
        _check_segment(segment)


def _check_segment(segment: str) -> None:
    where = f"metric name segment '{segment}'"
    if not re.match("[A-Za-z]", segment):
        raise ValueError(f"{where} must start with a letter")
    if "__" in segment:
        raise ValueError(f"{where} must not contain consecutive underscores")
    wrong = re.search("[^A-Za-z0-9_]", segment)
    if wrong:
        raise ValueError(f"{where} contains invalid character '{wrong.group()}'")
    if segment.endswith("_"):
        raise ValueError(f"{where} must end with a letter or digit")


def _type_of(value: Any) -> type[Any]:
    for kind in _TYPES:
        if isinstance(value, kind):
            return kind
    raise TypeError(
        f"Unsupported metric value type: {type(value).__name__}. "
        "Expected bool, int, float, str, list, or dict."
    )


def _plain(name: str, value: Any) -> Any:
    """A copy of `value` of plain JSON types, so that the model may go on changing its own."""
    try:
        plain = _plain_json(value, DEPTH_MAX)
    except ValueError as error:
        raise ValueError(f"Metric '{name}' cannot be sent as JSON: {error}") from None
    if isinstance(plain, (str, list, dict)) and not _is_short(plain):
        try:
            size = len(dumps(plain))
        except Unserialisable as error:
            raise ValueError(f"Metric '{name}' cannot be sent as JSON: {error}") from None
        if size > INLINE_MAX:
            raise ValueError(
                f"Metric '{name}' is too big: {size} bytes of JSON, at most {INLINE_MAX}"
            )
    return plain


def _is_short(plain: str | list[Any] | dict[str, Any]) -> bool:
    """Whether it is certain without looking closer that the value fits and can be encoded."""
    return isinstance(plain, str) and plain.isascii() and len(plain) * 6 < INLINE_MAX


def _plain_json(value: Any, levels: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError(TOO_LONG)
        return int(value)
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"{float(value)} is no number there")
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if levels == 0:
        raise ValueError(f"more than {DEPTH_MAX} levels, or a cycle")
    if isinstance(value, list):
        return [_plain_json(item, levels - 1) for item in value]
    if isinstance(value, dict):
        return {_plain_key(key): _plain_json(item, levels - 1) for key, item in value.items()}
    raise TypeError(f"Cannot convert {type(value).__name__} to JSON metric value")


def _plain_key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{type(key).__name__!r} object cannot be cast as 'str'")
    return key
