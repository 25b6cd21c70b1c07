"""What a front end may ask of the supervisor: the values, the refusals, and one small interface.

The HTTP facade is written against `Service` and nothing else of the supervisor; its tests give it
another implementation. `supervisor.service` is the real one.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Any, Protocol

from attrs import Factory, field, frozen

from protocol.messages import Trace

__all__ = [
    "AtCapacity",
    "DuplicateId",
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
]


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


@frozen
class PredictionRequest:
    """A prediction as a front end asks for it, its shape checked, its input not yet."""

    input: dict[str, Any]
    id: str | None = None
    """The client's own id; None: the service makes one."""
    context: dict[str, str] = Factory(dict)
    trace: Trace | None = None


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


class PredictionHandle(Protocol):
    """An accepted prediction, as its front end holds it."""

    def view(self) -> PredictionView:
        """The prediction as it is now."""
        ...

    async def wait(self) -> PredictionView:
        """Wait for the terminal state. Being cancelled here does not cancel the prediction."""
        ...

    def cancel(self) -> None:
        """Ask that the prediction stops. Does nothing once it is terminal."""
        ...


class Service(Protocol):
    """The one door for every front end."""

    def submit(self, request: PredictionRequest) -> PredictionHandle:
        """Accept a prediction: validate its input, then look for a slot or a place to wait.

        Raises:
            InvalidInput, NotReady, AtCapacity, DuplicateId: it was not accepted.
        """
        ...

    def find(self, prediction_id: str) -> PredictionHandle | None:
        """The prediction in flight that has this id."""
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
