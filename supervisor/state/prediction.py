"""One prediction: its state and what it has brought so far. No I/O; the clock is passed in.

All transitions are in `_TRANSITIONS`. A terminal state is reached once and then never left.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from attrs import define, evolve, field

from protocol.messages import LogSource, Metric, Trace
from supervisor.config import Limits
from supervisor.interface import EventKind, PredictionStatus, PredictionView
from supervisor.state.history import History
from supervisor.state.logs import BoundedText
from supervisor.state.metrics import Metrics
from supervisor.state.transitions import IllegalTransition

__all__ = ["Prediction"]

_S = PredictionStatus
_TRANSITIONS: Final = {
    # A prediction that no worker has seen can still fail or be canceled, but not succeed.
    _S.STARTING: {_S.PROCESSING, _S.FAILED, _S.CANCELED},
    _S.PROCESSING: {_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.STARTING},
    _S.SUCCEEDED: set(),
    _S.FAILED: set(),
    _S.CANCELED: set(),
}


_EVENT_SIZE: Final = 200
"""Bytes that an event weighs by itself, roughly."""


@define(eq=False)
class Prediction:
    """An accepted prediction.

    Attributes:
        input: what the model gets; None once it was sent, for it may be large and hold secrets.
        shown_input: the same with its secrets masked, for clients.
        error: why it failed.
        doom: the error with which the prediction will fail whatever its worker says of it,
            because a result of it was lost or is too big.
        identity: tells its input, as it was sent, from others (`supervisor.input_identity`).
        input_size: bytes of JSON, roughly.
        queued: the clock when it was accepted, if it may have to wait; then `queue_time` says how
            long it did.
        request_id: of the request that asked for it, for the log.
        history: what has happened.
    """

    id: str
    input: dict[str, Any] | None
    shown_input: dict[str, Any]
    limits: Limits
    context: dict[str, str] = field(factory=dict)
    trace: Trace | None = None
    is_training: bool = False
    identity: bytes | None = None
    input_size: int = 0
    queued: float | None = None
    request_id: str | None = None
    created_at: datetime = field(factory=lambda: datetime.now(UTC))
    status: PredictionStatus = field(default=PredictionStatus.STARTING, init=False)
    started_at: datetime | None = field(default=None, init=False)
    completed_at: datetime | None = field(default=None, init=False)
    doom: str | None = field(default=None, init=False)
    history: History = field(init=False)
    on_event: Callable[[], None] | None = field(default=None, init=False)
    """Called after each event."""
    last_words: str = field(default="", init=False)
    """What it wrote last to stderr, in one message."""
    _started: float = field(default=0.0, init=False)
    _answered: float | None = field(default=None, init=False)
    _logs: BoundedText = field(init=False)
    _metrics: Metrics = field(init=False)
    _metrics_ignored: set[str] = field(factory=set, init=False)
    _items: list[Any] = field(factory=list, init=False)
    _output_size: int = field(default=0, init=False)
    _result: Any = field(default=None, init=False)
    error: str | None = field(default=None, init=False)
    _predict_time: float | None = field(default=None, init=False)
    _queue_time: float | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._logs = BoundedText(self.limits.max_logs)
        self._metrics = Metrics(self.limits.max_metrics)
        self.history = History(self.limits.stream_history, self.limits.stream_history_bytes)

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return self.status.is_terminal

    @property
    def size(self) -> int:
        """Bytes that it weighs, roughly."""
        parts = (self.input_size, self._output_size, self._logs.size, self._metrics.size)
        return sum(parts) + self.history.size

    @property
    def output_size(self) -> int:
        """Bytes of JSON in its output so far."""
        return self._output_size

    def start(self, clock: float) -> None:
        """`predict` is on its way to a worker."""
        self._enter(PredictionStatus.PROCESSING)
        self.started_at = datetime.now(UTC)
        self._started = clock
        if not self.history.count:  # it may be the second worker that is asked
            self._happened(EventKind.START, {"id": self.id, "status": self.status.value}, 0)

    def sent(self) -> None:
        """`predict` was written whole; the input is not needed any more."""
        self.input = None

    def unsent(self) -> None:
        """`predict` could not be written whole, so no worker has seen the prediction."""
        self._enter(PredictionStatus.STARTING)
        self.started_at = None

    def add_log(self, data: str, source: LogSource) -> None:
        """The model wrote something. Once it is over, that is dropped."""
        if self.is_terminal:
            return
        self._logs.append(data)
        if source is LogSource.STDERR:
            self.last_words = data
        self._happened(EventKind.LOG, {"data": data, "source": source.value}, len(data))

    def add_metric(self, metric: Metric) -> str | None:
        """The model recorded a metric. Not None: it was ignored, for a reason not told before.

        Once the prediction is over, it is dropped.
        """
        if self.is_terminal:
            return None
        reason = self._metrics.apply(metric)
        if reason is None:
            data = {"mode": metric.mode.value, "name": metric.name, "value": metric.value}
            self._happened(EventKind.METRIC, data, len(metric.name))
        if reason is None or reason in self._metrics_ignored:
            return None
        self._metrics_ignored.add(reason)
        return reason

    def add_output(self, item: Any, size: int) -> bool:
        """The model put out an item of `size` bytes of JSON.

        False: it is not wanted, for the prediction is doomed, or over.
        """
        if self.is_terminal or self.doom is not None:
            return False
        self._output_size += size
        if self._output_size > self.limits.max_output:
            self.doom_with(self.limits.output_too_large)
            return False
        index = len(self._items)
        self._items.append(item)
        self._happened(EventKind.OUTPUT, {"chunk": item, "index": index}, size)
        return True

    def doom_with(self, error: str) -> None:
        """Let the prediction fail with `error` as soon as its worker is done with it."""
        if self.is_terminal:
            return
        if self.doom is None:
            self.doom = error
        self._items.clear()

    def answered(self, clock: float) -> None:
        """The worker is done; what of the output is still on its way is not `predict_time`."""
        self._answered = clock

    def succeed(self, clock: float, *, as_list: bool) -> None:
        """The worker is done. `as_list`: the output is a list whatever the number of items."""
        if self.doom is not None:
            self.fail(clock, self.doom)
            return
        self._enter(PredictionStatus.SUCCEEDED, clock)
        if as_list or len(self._items) > 1:
            self._result = self._items
        elif self._items:
            self._result = self._items[0]
        self._completed()

    def fail(self, clock: float, error: str) -> None:
        """It ended without a result, for the reason `error`."""
        self._enter(PredictionStatus.FAILED, clock)
        self.error = self.doom or error
        self._completed()

    def cancel(self, clock: float) -> None:
        """It was stopped because somebody asked for it (or because it was doomed)."""
        if self.doom is not None:
            self.fail(clock, self.doom)
            return
        self._enter(PredictionStatus.CANCELED, clock)
        self._completed()

    def view(self) -> PredictionView:
        """What can be said of it now."""
        return evolve(
            self.summary(),
            input=self.shown_input,
            logs=str(self._logs),
            output=self._view_output(),
            size=self.size,
        )

    def summary(self) -> PredictionView:
        """The same without input, output and logs."""
        return PredictionView(
            id=self.id,
            status=self.status,
            input={},
            logs="",
            metrics=self._view_metrics(),
            error=self.error,
            created_at=self.created_at,
            started_at=self.started_at,
            completed_at=self.completed_at,
            size=self._metrics.size + len(self.error or ""),
        )

    def _view_metrics(self) -> dict[str, Any]:
        metrics = self._metrics.snapshot()
        if self._predict_time is not None:
            metrics["predict_time"] = self._predict_time
        if self._queue_time is not None:
            metrics["queue_time"] = self._queue_time
        return metrics

    def _view_output(self) -> Any:
        if self.status is PredictionStatus.SUCCEEDED:
            return self._result
        return list(self._items) if self._items else None

    def _completed(self) -> None:
        # What it says is the view of the prediction, which is made when somebody reads it.
        self._happened(EventKind.COMPLETED, {}, 0)

    def _happened(self, kind: EventKind, data: dict[str, Any], size: int) -> None:
        self.history.append(kind, data, size + _EVENT_SIZE)
        if self.on_event is not None:
            self.on_event()

    def _enter(self, status: PredictionStatus, clock: float | None = None) -> None:
        if status not in _TRANSITIONS[self.status]:
            raise IllegalTransition(f"prediction {self.id}", self.status.value, status.value)
        if clock is not None:
            # From `predict` to the terminal message (`spec/protocol.md` 5), in seconds.
            was_sent = self.status is PredictionStatus.PROCESSING
            worked_until = clock if self._answered is None else self._answered
            self._predict_time = worked_until - self._started if was_sent else 0.0
            if self.queued is not None:
                self._queue_time = (self._started if was_sent else clock) - self.queued
            self.completed_at = datetime.now(UTC)
        self.status = status
