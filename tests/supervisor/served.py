"""The real service over a worker without a process."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from supervisor.interface import PredictionRequest
from supervisor.service import PredictionService
from supervisor.supervision import Supervision
from supervisor.telemetry import Telemetry
from tests.supervisor.fake_worker import FakeWorker, Life

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Served(Life):
    """A service over one fake worker."""

    def __init__(self, worker: FakeWorker, queue: int) -> None:
        super().__init__(worker.open, slots=len(worker.slots), queue=queue)
        self.supervision = Supervision(
            self.config, self.allocator, self.health, Telemetry(), worker.open
        )
        self.service = PredictionService(
            self.supervision, self.allocator, self.health, self.limits, Telemetry()
        )

    def ask(self, prediction_id: str | None = None, **values: Any) -> Any:
        """Submit a prediction."""
        return self.service.submit(PredictionRequest({"text": "hi"} | values, prediction_id))


@asynccontextmanager
async def serving(worker: FakeWorker, *, queue: int = 0) -> AsyncIterator[Served]:
    """A service whose worker runs, stopped when the block ends."""
    served = Served(worker, queue)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.supervision.run)
        yield served
        nursery.cancel_scope.cancel()
