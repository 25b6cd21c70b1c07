"""The supervisor as its front ends see it, without a worker; and a server in front of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

import attrs
import trio

from supervisor.http.draining import Draining
from supervisor.interface import (
    DuplicateId,
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
from supervisor.prediction_ids import check_id

STARTED = datetime(2026, 11, 24, 1, 2, 3, 456000, tzinfo=UTC)


class FakeHandle:
    """A prediction that ends when the test says so."""

    def __init__(self, request: PredictionRequest, prediction_id: str) -> None:
        self.request = request
        self._view = PredictionView(
            id=prediction_id,
            status=PredictionStatus.STARTING,
            input=request.input,
            logs="",
            metrics={},
        )
        self.over = trio.Event()
        self.cancelled = trio.Event()

    def view(self) -> PredictionView:
        return self._view

    def become(self, **changes: Any) -> None:
        self._view = attrs.evolve(self._view, **changes)
        if self._view.status.is_terminal:
            self.over.set()

    async def wait(self) -> PredictionView:
        await self.over.wait()
        return self._view

    def cancel(self) -> None:
        self.cancelled.set()
        if not self.over.is_set():
            self.become(status=PredictionStatus.CANCELED)


class FakeService:
    """The supervisor as its front ends see it. Predictions succeed at once, unless `hold`."""

    def __init__(self) -> None:
        self.schema = ModelSchema(None, is_train=False)
        self.refusal: Refusal | None = None
        self.hold = False
        self.output: Any = "hello"
        self.handles: list[FakeHandle] = []
        self.submitted = trio.Event()
        self.shutdown_requests = 0
        setup = SetupReport(SetupStatus.SUCCEEDED, STARTED, STARTED, "loading\n")
        self.report = HealthReport(HealthState.READY, setup)

    def submit(self, request: PredictionRequest) -> FakeHandle:
        if request.id is not None:
            check_id(request.id)
        if request.id is not None and self.find(request.id) is not None:
            raise DuplicateId(request.id)
        self.schema.clean_input(request.input)
        if self.refusal is not None:
            raise self.refusal
        handle = FakeHandle(request, request.id or f"made-{len(self.handles)}")
        self.handles.append(handle)
        if not self.hold:
            handle.become(
                status=PredictionStatus.SUCCEEDED,
                output=self.output,
                logs="log\n",
                metrics={"predict_time": 0.5},
            )
        self.submitted.set()
        return handle

    def find(self, prediction_id: str) -> FakeHandle | None:
        for handle in self.handles:
            if handle.view().id == prediction_id and not handle.over.is_set():
                return handle
        return None

    def health(self) -> HealthReport:
        return self.report

    async def check_health(self) -> HealthReport:
        await trio.lowlevel.checkpoint()
        return self.report

    def openapi(self) -> dict[str, Any] | None:
        return self.schema.document

    def request_shutdown(self) -> None:
        self.shutdown_requests += 1


@attrs.frozen
class Running:
    """A server that listens."""

    port: int
    draining: Draining
    scope: trio.CancelScope

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


Serve = Callable[..., AbstractAsyncContextManager[Running]]
