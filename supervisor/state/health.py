"""What the supervisor knows of its worker's health, across restarts. No I/O, no clock."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, assert_never

from supervisor.interface import HealthState, NotReady, SetupReport, SetupStatus
from supervisor.state.logs import BoundedText
from supervisor.state.transitions import IllegalTransition

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WorkerHealth", "WorkerPhase"]


class WorkerPhase(Enum):
    """Where the worker stands, from the outside."""

    STARTING = "starting"
    READY = "ready"
    ENDING = "ending"
    RESTARTING = "restarting"
    SETUP_FAILED = "setup failed"


_P = WorkerPhase
_TRANSITIONS: Final = {
    _P.STARTING: {_P.READY, _P.ENDING, _P.RESTARTING, _P.SETUP_FAILED},
    _P.READY: {_P.ENDING, _P.RESTARTING},
    _P.ENDING: {_P.RESTARTING, _P.SETUP_FAILED},
    _P.RESTARTING: {_P.STARTING},
    _P.SETUP_FAILED: set(),
}


class WorkerHealth:
    """The worker's phase and the report of its latest set-up.

    Args:
        max_logs: bytes of set-up logs that are kept.
    """

    def __init__(self, max_logs: int) -> None:
        self.phase = WorkerPhase.STARTING
        self.retry_after = 1.0
        """Seconds after which a client that met a restart may come back."""
        self.versions: Mapping[str, str] = {}
        """Of what the model runs on, from the latest worker that was ready."""
        self._max_logs = max_logs
        self._begin_setup()

    def spawned(self) -> None:
        """A worker was started again after a failure."""
        self._enter(WorkerPhase.STARTING)
        self._begin_setup()

    def add_setup_log(self, data: str) -> None:
        """The worker wrote something during its set-up."""
        self._logs.append(data)

    def ready(self, versions: Mapping[str, str] | None = None) -> None:
        """Set-up succeeded; `versions`: of what the model runs on."""
        self.versions = versions or {}
        self._enter(WorkerPhase.READY)
        self._end_setup(SetupStatus.SUCCEEDED)

    def setup_failed(self, error: str) -> None:
        """Set-up failed for good."""
        self._enter(WorkerPhase.SETUP_FAILED)
        self.failure = error
        self._logs.append(error + "\n")
        self._end_setup(SetupStatus.FAILED)

    def ending(self, reason: str) -> None:
        """The worker has failed and is being ended, which may take a while. May be said again."""
        if self.phase is not WorkerPhase.ENDING:
            self._enter(WorkerPhase.ENDING)
        self.failure = reason

    def failed(self, error: str, *, pause: float) -> None:
        """The worker ended for the reason `error`; the next one starts after `pause` seconds."""
        if self._setup_status is SetupStatus.STARTING:
            self._logs.append(error + "\n")
            self._end_setup(SetupStatus.FAILED)
        self._enter(WorkerPhase.RESTARTING)
        self.failure = error
        self.retry_after = max(1.0, pause)

    def state(self, *, slot_is_free: bool) -> HealthState:
        """The health, in one of coglet's words."""
        match self.phase:
            case WorkerPhase.READY:
                return HealthState.READY if slot_is_free else HealthState.BUSY
            case WorkerPhase.SETUP_FAILED:
                return HealthState.SETUP_FAILED
            case WorkerPhase.STARTING | WorkerPhase.ENDING | WorkerPhase.RESTARTING:
                return HealthState.STARTING
            case _:
                assert_never(self.phase)

    def refusal(self) -> NotReady | None:
        """Why no prediction can be taken now, if so."""
        match self.phase:
            case WorkerPhase.READY:
                return None
            case WorkerPhase.STARTING:
                return NotReady(
                    "Setup has not finished yet. Wait until it has finished, or GET /health-check "
                    "for status.",
                    retry_after=1.0,
                )
            case WorkerPhase.ENDING | WorkerPhase.RESTARTING:
                return NotReady(
                    f"The worker is being restarted ({self.failure}). Try again shortly.",
                    retry_after=self.retry_after,
                )
            case WorkerPhase.SETUP_FAILED:
                why = self.failure.removeprefix("Setup failed: ")  # as our worker begins it
                return NotReady(
                    f"Setup failed: {why}. It will not be tried again; GET /health-check for its "
                    "logs."
                )
            case _:
                assert_never(self.phase)

    def setup_report(self) -> SetupReport:
        """The `setup` object of `/health-check`."""
        return SetupReport(
            status=self._setup_status,
            started_at=self._setup_started,
            completed_at=self._setup_completed,
            logs=str(self._logs),
        )

    def _begin_setup(self) -> None:
        self.failure = ""
        self._setup_status = SetupStatus.STARTING
        self._setup_started = datetime.now(UTC)
        self._setup_completed: datetime | None = None
        self._logs = BoundedText(self._max_logs)

    def _end_setup(self, status: SetupStatus) -> None:
        self._setup_status = status
        self._setup_completed = datetime.now(UTC)

    def _enter(self, phase: WorkerPhase) -> None:
        if phase not in _TRANSITIONS[self.phase]:
            raise IllegalTransition("worker", self.phase.value, phase.value)
        self.phase = phase
