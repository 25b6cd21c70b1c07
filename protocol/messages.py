"""Every message of the wire: one frozen attrs class each, one union per channel and direction.

A class here says what a message means; `protocol.codec` says what it looks like as JSON, and is
the only place that knows about tags, omitted fields and dialects. Field order is the key order
on the wire. A field that is None is left out of the JSON.

The shapes are those of coglet 0.20 and later. Fields marked "ours" are additions that coglet
ignores.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

from attrs import Factory, field, frozen

from protocol.transport import Transport

__all__ = [
    "Cancel",
    "Cancelled",
    "ControlRequest",
    "ControlResponse",
    "Done",
    "DroppedLogs",
    "Failed",
    "Fatal",
    "FileKind",
    "FileOutput",
    "HealthStatus",
    "Healthcheck",
    "HealthcheckResult",
    "Idle",
    "Init",
    "Log",
    "LogLine",
    "LogSource",
    "Metric",
    "MetricMode",
    "OutputChunk",
    "Predict",
    "ProtocolVersion",
    "Ready",
    "Shutdown",
    "ShuttingDown",
    "SlotCancelled",
    "SlotFailed",
    "SlotRequest",
    "SlotResponse",
    "Trace",
    "WorkerInfo",
    "WorkerLog",
]


class LogSource(Enum):
    """Which stream of the worker a log message was written to."""

    STDOUT = "stdout"
    STDERR = "stderr"


class MetricMode(Enum):
    """How a metric's value meets the value that is already there."""

    REPLACE = "replace"
    INCREMENT = "increment"
    APPEND = "append"


class HealthStatus(Enum):
    """What the worker says of its own health."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class FileKind(Enum):
    """What a `FileOutput` points at: a file of the model, or a spilled JSON value."""

    FILE = "file_type"
    OVERSIZED = "oversized"


@frozen
class Trace:
    """A W3C trace context that travels with a prediction (coglet 0.23.1 and later)."""

    traceparent: str
    tracestate: str = ""


@frozen
class WorkerInfo:
    """Ours: how our worker introduces itself in `Ready`. A worker without it is foreign."""

    name: str
    version: str
    healthcheck: bool = False
    """Whether the model defines a healthcheck of its own."""
    optional_inputs: list[str] = Factory(list)
    """Inputs that may be left out or null, though the document cannot say so."""
    versions: dict[str, str] = Factory(dict)
    """Of what the model runs on: "python", and "python_sdk" if it imports cog."""


# --- control channel, supervisor to worker ---------------------------------------------------


@frozen
class Init:
    """The first message of a worker's life: what to load and where its slot sockets are."""

    predictor_ref: str
    num_slots: int
    transport_info: Transport
    is_train: bool = False
    is_async: bool = False
    trace: Trace | None = None
    options: dict[str, Any] | None = None
    """Ours: the effective options that concern the worker."""


@frozen
class Cancel:
    """Stop the prediction of a slot."""

    slot: str
    id: str | None = None
    """Ours: the prediction that is meant; the worker acts on no other."""


@frozen
class Healthcheck:
    """Ask for the model's health. An id that starts with `ping_` asks the worker alone."""

    id: str


@frozen
class Shutdown:
    """End the worker."""

    grace: float | None = None
    """Ours: seconds that the supervisor will wait."""


# --- control channel, worker to supervisor ---------------------------------------------------


@frozen
class Ready:
    """Set-up is done."""

    slots: list[str]
    """One id a slot socket, in the order of the sockets."""
    schema: dict[str, Any] | None = None
    """The model's OpenAPI document."""
    worker: WorkerInfo | None = None


@frozen
class Log:
    """Output that belongs to no prediction."""

    source: LogSource
    data: str


@frozen
class WorkerLog:
    """A line of the worker's own log. Levels: error, warn, info, debug, trace."""

    target: str
    level: str
    message: str


@frozen
class Idle:
    """The slot may get its next prediction."""

    slot: str


@frozen
class SlotCancelled:
    """Informational; defined by coglet and never sent by its workers."""

    slot: str


@frozen
class SlotFailed:
    """Before `Ready`: set-up failed. After it: the slot is poisoned."""

    slot: str
    error: str


@frozen
class Fatal:
    """The worker is about to abort; every slot is poisoned."""

    reason: str


@frozen
class DroppedLogs:
    """The worker dropped `count` log messages in the last `interval_millis` milliseconds."""

    count: int
    interval_millis: int


@frozen
class HealthcheckResult:
    """The answer to `Healthcheck`."""

    id: str
    status: HealthStatus
    error: str | None = None
    loop_idle: float | None = None
    """Ours: seconds since the worker's event loop last turned."""


@frozen
class ShuttingDown:
    """The answer to `Shutdown`."""


# --- slot socket, supervisor to worker -------------------------------------------------------


@frozen
class Predict:
    """Run one prediction. Exactly one of `input` and `input_file` is set."""

    id: str
    input: Any = None
    """The input object, or `msgspec.Raw` with its JSON."""
    input_file: str | None = None
    """The path of a spill file that holds the input's JSON."""
    output_dir: str = field(kw_only=True)
    context: dict[str, str] = Factory(dict)
    trace: Trace | None = None
    files_apart: bool | None = None
    """Ours: files inside an output do not become data URLs, but `FileOutput.files`."""


# --- slot socket, worker to supervisor -------------------------------------------------------


@frozen
class ProtocolVersion:
    """The first message on each slot socket from workers of 0.20 and later."""

    version: int


@frozen
class LogLine:
    """Output of the running prediction."""

    source: LogSource
    data: str


@frozen
class OutputChunk:
    """One item of the running prediction's output."""

    output: Any
    index: int = 0
    """Counts chunks from 0; file outputs are not counted. 0.19.1 does not send it."""


@frozen
class FileOutput:
    """One item of the output, in a file."""

    filename: str
    kind: FileKind
    mime_type: str | None = None
    files: dict[str, str] | None = None
    """Ours: the paths of files that belong into an oversized value, where it is null, each by its
    place there as a JSON Pointer (RFC 6901). Only if the prediction was sent with `files_apart`."""


@frozen
class Metric:
    """A metric of the running prediction."""

    name: str
    value: Any
    mode: MetricMode


@frozen
class Done:
    """The prediction succeeded."""

    id: str
    predict_time: float
    """Seconds, by the worker's clock."""
    is_stream: bool = False


@frozen
class Failed:
    """The prediction failed."""

    id: str
    error: str


@frozen
class Cancelled:
    """The prediction stopped because it was told to."""

    id: str


ControlRequest: TypeAlias = Init | Cancel | Healthcheck | Shutdown
ControlResponse: TypeAlias = (
    Ready
    | Log
    | WorkerLog
    | Idle
    | SlotCancelled
    | SlotFailed
    | Fatal
    | DroppedLogs
    | HealthcheckResult
    | ShuttingDown
)
SlotRequest: TypeAlias = Predict
SlotResponse: TypeAlias = (
    ProtocolVersion | LogLine | OutputChunk | FileOutput | Metric | Done | Failed | Cancelled
)
