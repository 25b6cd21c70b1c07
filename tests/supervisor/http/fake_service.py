"""The supervisor as its front ends see it, without a worker; and a server in front of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs
import trio

from protocol.json_text import dumps
from protocol.messages import LogSource, Metric, MetricMode
from supervisor.allocator import Allocator
from supervisor.config import Limits
from supervisor.http.draining import Draining
from supervisor.http.listening import Listening
from supervisor.interface import (
    HealthReport,
    HealthState,
    PredictionRequest,
    PredictionStatus,
    PredictionView,
    Refusal,
    SetupReport,
    SetupStatus,
)
from supervisor.model_schema import ModelSchema
from supervisor.service import PredictionService
from supervisor.telemetry import Telemetry

if TYPE_CHECKING:
    from supervisor.job import Job

STARTED = datetime(2026, 11, 24, 1, 2, 3, 456000, tzinfo=UTC)


class FakeHandle:
    """A prediction that the service has accepted; the test plays its worker."""

    def __init__(self, request: PredictionRequest, job: Job, allocator: Allocator) -> None:
        self.request = request
        self.job = job
        self.clients = 0
        self._allocator = allocator

    @property
    def is_canceled(self) -> bool:
        return self.view().status is PredictionStatus.CANCELED

    def view(self) -> PredictionView:
        return self.job.view()

    async def wait(self) -> PredictionView:
        return await self.job.wait()

    def start(self) -> None:
        """`predict` is sent. A cancel still ends the prediction at once."""
        self.job.prediction.start(trio.current_time())

    def log(self, text: str, source: LogSource = LogSource.STDOUT) -> None:
        self.job.prediction.add_log(text, source)

    def metric(self, name: str, value: Any) -> None:
        assert self.job.prediction.add_metric(Metric(name, value, MetricMode.REPLACE)) is None

    def output(self, *items: Any) -> None:
        for item in items:
            assert self.job.prediction.add_output(item, len(dumps(item)))

    def succeed(self, *, as_list: bool = False) -> None:
        self._stopped()
        self.job.succeeded(as_list=as_list)

    def fail(self, error: str) -> None:
        self._stopped()
        self.job.failed(error)

    def _stopped(self) -> None:
        if self.view().status is PredictionStatus.STARTING:
            self.start()
        self._allocator.withdraw(self.job)


class _Waiting(Allocator):
    """What is accepted waits for the test, and for nothing else."""

    has_queue = False


@attrs.define
class _NoWorker:
    """What the service asks of the supervision."""

    schema: ModelSchema | None


@attrs.define
class _Health:
    """What the service asks of the health."""

    refused: Refusal | None = None

    def refusal(self) -> Refusal | None:
        return self.refused


class FakeService(PredictionService):
    """The real rules, over no worker. Predictions succeed at once, unless `hold`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.no_worker = _NoWorker(ModelSchema(None, is_train=False))
        self.fake_health = _Health()
        self.waiting = _Waiting(queue=10_000)
        super().__init__(
            self.no_worker, self.waiting, self.fake_health, limits or Limits(), Telemetry()
        )
        self.hold = False
        self.output: Any = "hello"
        self.handles: list[FakeHandle] = []
        self.submitted = trio.Event()
        self.shutdown_requests = 0
        setup = SetupReport(SetupStatus.SUCCEEDED, STARTED, STARTED, "loading\n")
        self.report = HealthReport(HealthState.READY, setup)

    @property
    def schema(self) -> ModelSchema | None:
        return self.no_worker.schema

    @schema.setter
    def schema(self, schema: ModelSchema | None) -> None:
        self.no_worker.schema = schema

    @property
    def refusal(self) -> Refusal | None:
        return self.fake_health.refused

    @refusal.setter
    def refusal(self, refusal: Refusal | None) -> None:
        """Why nothing is accepted, said where the health is looked at."""
        self.fake_health.refused = refusal

    def submit(self, request: PredictionRequest) -> Job:
        job = super().submit(request)
        handle = FakeHandle(request, job, self.waiting)
        self.handles.append(handle)
        if not self.hold:
            handle.start()
            handle.log("log\n")
            if self.output is not None:
                handle.output(self.output)
            handle.succeed()
        self.submitted.set()
        return job

    def health(self) -> HealthReport:
        return self.report

    async def check_health(self) -> HealthReport:
        await trio.lowlevel.checkpoint()
        return self.report

    def request_shutdown(self) -> None:
        self.shutdown_requests += 1


@attrs.frozen
class Running:
    """A server that listens."""

    found: Listening
    draining: Draining
    scope: trio.CancelScope

    @property
    def port(self) -> int:
        assert self.found.port is not None
        return self.found.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


Serve = Callable[..., AbstractAsyncContextManager[Running]]
