"""Finished predictions that are still remembered, bounded by age, count and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from supervisor.config import Limits
    from supervisor.job import Job

__all__ = ["Retention"]


class _Remembered(NamedTuple):
    job: Job
    size: int
    since: float


class Retention:
    """The newest finished predictions, by id. No I/O; the clock is passed in.

    What is too old is dropped when somebody looks or adds. The newest one is kept whatever it
    weighs: who did not wait for it has no other way to its result.

    Args:
        limits: `keep_age`, `keep_count` and `keep_bytes` of it.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: dict[str, _Remembered] = {}
        self.size = 0
        """Bytes that all of them weigh."""

    def add(self, job: Job, clock: float) -> None:
        """Remember a prediction that has just ended."""
        self.forget(job.prediction.id)
        size = job.prediction.size
        self._jobs[job.prediction.id] = _Remembered(job, size, clock)
        self.size += size
        self._shrink(clock)

    def forget(self, prediction_id: str) -> None:
        """Drop one, if it is there."""
        dropped = self._jobs.pop(prediction_id, None)
        if dropped is not None:
            self.size -= dropped.size

    def get(self, prediction_id: str, clock: float) -> Job | None:
        """The one that has this id."""
        self._shrink(clock)
        found = self._jobs.get(prediction_id)
        return found.job if found is not None else None

    def all(self, clock: float) -> list[Job]:
        """All of them, in the order in which they ended."""
        self._shrink(clock)
        return [one.job for one in self._jobs.values()]

    def _shrink(self, clock: float) -> None:
        limits = self._limits
        while self._jobs:
            oldest_id = next(iter(self._jobs))
            is_old = clock - self._jobs[oldest_id].since >= limits.keep_age
            is_heavy = self.size > limits.keep_bytes and len(self._jobs) > 1
            if not (is_old or is_heavy or len(self._jobs) > limits.keep_count):
                return
            self.forget(oldest_id)
