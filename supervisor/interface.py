"""What a front end may ask of the supervisor: the values, the refusals, and one small interface.

The HTTP facade is written against `Service` and nothing else of the supervisor; its tests give it
another implementation. `supervisor.service` is the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from attrs import Factory, field, frozen

from protocol.messages import Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from supervisor.form_inputs import FormField

__all__ = [
    "OFF_THE_LOOP",
    "AtCapacity",
    "CheckedInput",
    "DuplicateId",
    "Event",
    "EventKind",
    "Follower",
    "Gap",
    "HealthReport",
    "HealthState",
    "InputError",
    "InvalidInput",
    "NotReady",
    "PredictionHandle",
    "PredictionRequest",
    "PredictionStatus",
    "PredictionView",
    "Refusal",
    "Service",
    "SetupReport",
    "SetupStatus",
    "TooManyFollowers",
    "Webhook",
]

OFF_THE_LOOP: Final = 256 * 1024
"""Bytes of JSON from which a request is looked at, and an answer written, in a thread, so that
nobody waits for it."""


class PredictionStatus(Enum):
    """The states of a prediction; the last three are terminal."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing can follow."""
        return self not in (PredictionStatus.STARTING, PredictionStatus.PROCESSING)


class HealthState(Enum):
    """The words of `/health-check`, as coglet defines them."""

    UNKNOWN = "UNKNOWN"
    STARTING = "STARTING"
    READY = "READY"
    BUSY = "BUSY"
    SETUP_FAILED = "SETUP_FAILED"
    DEFUNCT = "DEFUNCT"
    UNHEALTHY = "UNHEALTHY"


class SetupStatus(Enum):
    """How far the set-up of the worker has come."""

    STARTING = "starting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class EventKind(Enum):
    """What can happen in a prediction, as streams (all) and webhooks (some) call it."""

    START = "start"
    LOG = "log"
    METRIC = "metric"
    OUTPUT = "output"
    COMPLETED = "completed"


@frozen
class Event:
    """One thing that happened in a prediction."""

    number: int
    """Counted from 0 for each prediction."""
    kind: EventKind
    data: dict[str, Any]
    """As a stream says it (`spec/http-api.md` 4)."""
    size: int = field(default=0, eq=False)
    """Bytes of JSON in `data`, roughly."""


@frozen
class Gap:
    """Events that a reader will never get: they were dropped before it came, or was ready."""

    skipped: int
    """How many."""
    lagged: bool
    """Whether the reader was there, but too slow."""
    last: int = field(default=-1, eq=False)
    """The number of the last of them."""


@frozen
class Webhook:
    """Where to tell of a prediction."""

    url: str
    events: frozenset[str]
    """Of "start", "output", "logs" and "completed"."""


@frozen
class CheckedInput:
    """An input beside the model's schema."""

    schema: object
    """By which it was checked. The next worker may have another one."""
    values: dict[str, Any]
    """As the worker gets it."""
    shown: dict[str, Any]
    """The same with its secrets masked."""
    dropped: tuple[str, ...] = ()
    """Names that the model does not know."""
    refusal: InvalidInput | None = None
    """Why it does not fit, if so: kept until it is its turn among the reasons to refuse."""


@frozen
class PredictionRequest:
    """A prediction as a front end asks for it, its shape checked, its input not yet."""

    input: dict[str, Any]
    id: str | None = None
    """The client's own id; None: the service makes one."""
    context: dict[str, str] = Factory(dict)
    trace: Trace | None = None
    webhook: Webhook | None = field(default=None, kw_only=True)
    output_file_prefix: str | None = field(default=None, kw_only=True)
    """Where the files of its output are uploaded to."""
    is_training: bool = field(default=False, kw_only=True)
    identity: bytes | None = field(default=None, kw_only=True)
    """`supervisor.input_identity` of `input`; None: the service makes it if it needs it."""
    size: int = field(default=0, kw_only=True)
    """What `input` weighs as JSON, in bytes, roughly: for what is remembered."""
    checked: CheckedInput | None = field(default=None, kw_only=True)
    """What `Service.prepare` has found."""
    request_id: str | None = field(default=None, kw_only=True)
    """The front end's id of the request that asked for it, for the log."""


@frozen
class PredictionView:
    """What can be said of a prediction at one moment."""

    id: str
    status: PredictionStatus
    input: dict[str, Any]
    """As the client sent it; secret inputs masked from the moment the worker got them."""
    logs: str
    metrics: dict[str, Any]
    output: Any = None
    error: str | None = None
    """Set only when failed."""
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    size: int = field(default=0, kw_only=True, eq=False)
    """Bytes that it has as JSON, roughly."""

    def as_answer(self) -> dict[str, Any]:
        """What its own request is answered at its end: `output` only if it succeeded."""
        document = self.as_state()
        if self.status is not PredictionStatus.SUCCEEDED:
            document.pop("output", None)
        return document

    def as_state(self) -> dict[str, Any]:
        """What streams, webhooks and look-ups say of it (`spec/http-api.md` 4, 5).

        `output` is there as far as there is some, also of a prediction that did not succeed: what
        it has brought is not lost. `error` is there if it failed.
        """
        document: dict[str, Any] = {
            "id": self.id,
            "status": self.status.value,
            "logs": self.logs,
            "metrics": self.metrics,
        }
        if self.output is not None or self.status is PredictionStatus.SUCCEEDED:
            document["output"] = self.output
        if self.status is PredictionStatus.FAILED:
            document["error"] = self.error
        return document


@frozen
class SetupReport:
    """The `setup` object of `/health-check`."""

    status: SetupStatus
    started_at: datetime
    completed_at: datetime | None = None
    logs: str = ""


@frozen
class HealthReport:
    """What `/health-check` says, without versions."""

    state: HealthState
    setup: SetupReport | None = None
    user_healthcheck_error: str | None = None
    versions: Mapping[str, str] = Factory(dict)
    """Of what the model runs on ("python", "python_sdk"), as far as its worker has said."""


@frozen
class InputError:
    """One thing that is wrong with an input."""

    loc: tuple[str, ...]
    """Where, as coglet writes it: ("body", "input", "masks/0")."""
    msg: str
    type: str = "value_error"


class Refusal(Exception):
    """Base of the reasons for which a prediction is not accepted. Not raised itself."""


@frozen
class InvalidInput(Refusal):
    """The input does not fit the model's schema, or the id is not allowed."""

    errors: list[InputError]


@frozen
class NotReady(Refusal):
    """No worker can take predictions now."""

    reason: str
    """A sentence for the client that says what to do next."""
    retry_after: float | None = field(default=None, kw_only=True)
    """Seconds after which it may be worth asking again; None when waiting will not help."""


class AtCapacity(Refusal):
    """Every slot is busy, and no further job may wait."""


@frozen
class DuplicateId(Refusal):
    """A prediction with this id is in flight."""

    id: str


@frozen
class TooManyFollowers(Refusal):
    """As many read the events of one prediction as may."""


class Follower(Protocol):
    """A reader of a prediction's events: `async with` it, then `async for` over it.

    It counts from the moment at which it was made, until its block ends, or it is closed.
    """

    def close(self) -> None:
        """End, entered or not; nothing of it is left. Does nothing the second time."""
        ...

    async def __aenter__(self) -> Self:
        """Begin. What happens from now on is not missed, if it is read soon enough."""
        ...

    async def __aexit__(self, *exception: object) -> None:
        """End; nothing of it is left."""
        ...

    def __aiter__(self) -> Self:
        """The events in order; ends after COMPLETED, or after a gap."""
        ...

    async def __anext__(self) -> Event | Gap:
        """The next event. Being cancelled here loses none."""
        ...

    def next_nowait(self) -> Event | Gap | None:
        """The next event if it has happened; None too when nothing follows."""
        ...


class PredictionHandle(Protocol):
    """An accepted prediction, as its front end holds it."""

    def view(self) -> PredictionView:
        """The prediction as it is now."""
        ...

    def summary(self) -> PredictionView:
        """The same without input, output and logs: it takes no longer for a big prediction."""
        ...

    async def wait(self) -> PredictionView:
        """Wait for the terminal state. Being cancelled here does not cancel the prediction."""
        ...

    def cancel(self) -> None:
        """Ask that the prediction stops. Does nothing once it is terminal."""
        ...

    def follow(self, after: int | None = None) -> Follower:
        """Its events: those that have been, then each as it happens.

        Args:
            after: the number of the last event that the reader knows; None: it knows none.

        Raises:
            TooManyFollowers: nobody else may read now.
        """
        ...

    clients: int
    """How many requests wait for its end now. Whoever waits for one counts itself."""

    @property
    def followers(self) -> int:
        """How many read its events now."""
        ...

    ends_unread: bool
    """Whether it is to be cancelled once nobody reads its events any more."""

    @property
    def events(self) -> int:
        """How many events there have been."""
        ...


class Service(Protocol):
    """The one door for every front end."""

    def form_input(self, fields: list[FormField], *, is_training: bool = False) -> Any:
        """The input that a form means to the model; from any thread. It may be no object."""
        ...

    async def prepare(self, request: PredictionRequest) -> PredictionRequest:
        """Do before `submit` or `put` what takes long for a big input, in a thread.

        They do it themselves, and hold up everybody, for a request that was not prepared. What is
        wrong with the input is raised by them, not here.
        """
        ...

    def submit(self, request: PredictionRequest) -> PredictionHandle:
        """Accept a prediction: validate its input, then look for a slot or a place to wait.

        Raises:
            InvalidInput, NotReady, AtCapacity, DuplicateId: it was not accepted.
        """
        ...

    def put(self, request: PredictionRequest) -> tuple[PredictionHandle, bool]:
        """As `submit`, for who may ask again; and whether it is a new prediction.

        The one in flight under the same id is returned as it is, and so is the one that is
        remembered if it succeeded with the same input. Else a new one is run under the id.

        Raises:
            InvalidInput, NotReady, AtCapacity: it was not accepted.
        """
        ...

    def find(self, prediction_id: str) -> PredictionHandle | None:
        """The prediction in flight that has this id."""
        ...

    def recall(self, prediction_id: str) -> PredictionHandle | None:
        """The prediction in flight, or remembered, that has this id."""
        ...

    def page(self, before: int | None, limit: int) -> tuple[Sequence[PredictionHandle], int | None]:
        """At most `limit` predictions, in flight or remembered, the newest first.

        Args:
            before: where the last page ended; None: the first page.
            limit: 1 or more.

        Returns:
            The predictions, and where the page ended; None: it was the last one.
        """
        ...

    def health(self) -> HealthReport:
        """The health as the supervisor knows it. Never waits."""
        ...

    async def check_health(self) -> HealthReport:
        """The health, the model's own healthcheck included if it has one (10 s at most)."""
        ...

    def openapi(self) -> dict[str, Any] | None:
        """The model's OpenAPI document; None before set-up ended, or if there is none."""
        ...

    def request_shutdown(self) -> None:
        """Begin the orderly end of the whole program, as SIGTERM does."""
        ...
