"""Incarnations of the worker, one after another, and the policy between them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from supervisor.incarnation import Incarnation
from supervisor.job import TRIES_MAX
from supervisor.state.restart import RestartPolicy

if TYPE_CHECKING:
    from supervisor.allocator import Allocator
    from supervisor.config import Config
    from supervisor.ending import IncarnationEnd
    from supervisor.incarnation import OpenLink
    from supervisor.model_schema import ModelSchema
    from supervisor.state.health import WorkerHealth
    from supervisor.telemetry import Telemetry

__all__ = ["Supervision"]


class Supervision:
    """Keeps one worker alive.

    Args:
        config: what to run, and how long things may take.
        allocator: gives jobs to the worker's slots; keeps them while there is no worker.
        health: is told every change.
        telemetry: is told everything else.
        open_link: makes a worker and the link to it.
    """

    def __init__(
        self,
        config: Config,
        allocator: Allocator,
        health: WorkerHealth,
        telemetry: Telemetry,
        open_link: OpenLink,
    ) -> None:
        self._config = config
        self._allocator = allocator
        self._health = health
        self._telemetry = telemetry
        self._open_link = open_link
        self._policy = RestartPolicy(config.times, random.uniform)
        self.worker = self._next_worker()
        """The present incarnation, or the last one while the next has not begun."""
        self._known: Incarnation | None = None

    @property
    def schema(self) -> ModelSchema | None:
        """What is known of the model's inputs and outputs, from the latest READY worker."""
        return self._latest_ready().schema

    async def run(self) -> None:
        """Run workers until cancelled. A worker whose set-up fails is the last one."""
        try:
            while not (end := await self._one_life()).is_final:
                await self._pause(end)
            self._health.setup_failed(end.reason())
            self._telemetry.setup_failed(end.reason())
            self._fail_waiting(f"Setup failed: {end.reason()}")
            await trio.sleep_forever()
        finally:
            self._fail_waiting("The server was shut down before the prediction began")

    async def _one_life(self) -> IncarnationEnd:
        self._telemetry.worker_starting(self._config.predictor_ref, self._config.max_concurrency)
        return await self.worker.live()

    async def _pause(self, end: IncarnationEnd) -> None:
        self._telemetry.worker_ended(end.reason(), end.worker.last_words if end.worker else "")
        if end.ready_for is None:
            self._fail_hopeless(end)
        pause = self._policy.pause_after(end.ready_for)
        self._health.failed(end.reason(), pause=pause)
        self._telemetry.worker_restarting(pause, self._policy.failures)
        await trio.sleep(pause)
        self._health.spawned()
        self._known = self._latest_ready()
        self.worker = self._next_worker()

    def _latest_ready(self) -> Incarnation:
        if self.worker.schema is None and self._known is not None:
            return self._known
        return self.worker

    def _next_worker(self) -> Incarnation:
        return Incarnation(
            self._config, self._allocator, self._health, self._telemetry, self._open_link
        )

    def _fail_hopeless(self, end: IncarnationEnd) -> None:
        """Fail who has waited for several workers of which none became ready."""
        for job in self._allocator.withdraw_all():
            job.tries += 1
            if job.tries < TRIES_MAX:
                self._allocator.put_back(job)
            else:
                job.failed(f"No worker could be started, {TRIES_MAX} times: {end.reason()}")

    def _fail_waiting(self, error: str) -> None:
        for job in self._allocator.withdraw_all():
            job.failed(error)
