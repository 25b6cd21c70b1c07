"""What a front end may ask: the one door to the supervisor (see `supervisor.interface`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import evolve

from supervisor.checked_input import check_input
from supervisor.form_inputs import form_input
from supervisor.input_identity import input_identity
from supervisor.interface import (
    OFF_THE_LOOP,
    AtCapacity,
    DuplicateId,
    HealthReport,
    HealthState,
    NotReady,
    PredictionStatus,
)
from supervisor.job import Job
from supervisor.prediction_ids import check_id, new_id
from supervisor.retention import Retention
from supervisor.state.prediction import Prediction

if TYPE_CHECKING:
    from supervisor.allocator import Allocator
    from supervisor.config import Limits
    from supervisor.deliveries import Deliveries
    from supervisor.form_inputs import FormField
    from supervisor.interface import PredictionRequest
    from supervisor.model_schema import InputSchema
    from supervisor.state.health import WorkerHealth
    from supervisor.supervision import Supervision
    from supervisor.telemetry import Telemetry
    from supervisor.webhooks import Webhooks

__all__ = ["PredictionService"]

_SHUTTING_DOWN: Final = "The server is shutting down. Send the request to another one."


class PredictionService:
    """Accepts predictions, finds them while they are in flight, and knows the health.

    Args:
        supervision: keeps the worker.
        allocator: gives jobs to its slots.
        health: what is known of it.
        limits: bounds of each prediction.
        telemetry: is told of what is dropped.
        webhooks: tell clients how their predictions go; None: nobody is told.
        deliveries: upload the files of outputs; None: no file is uploaded.
    """

    def __init__(
        self,
        supervision: Supervision,
        allocator: Allocator,
        health: WorkerHealth,
        limits: Limits,
        telemetry: Telemetry,
        *,
        webhooks: Webhooks | None = None,
        deliveries: Deliveries | None = None,
    ) -> None:
        self._supervision = supervision
        self._allocator = allocator
        self._health = health
        self._limits = limits
        self._telemetry = telemetry
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._in_flight: dict[str, Job] = {}
        self._finished = Retention(limits)
        self._refusing = False
        self.shutdown_was_requested = False
        """Whether somebody has asked for the end: who asks again is in a hurry."""
        self._shutdown_to, self._shutdown = trio.open_memory_channel[None](1)

    def form_input(self, fields: list[FormField], *, is_training: bool = False) -> Any:
        """The input that a form means to the model; from any thread."""
        schema = self._inputs(is_training=is_training)
        if schema is None:
            return form_input(fields, {}, None)
        return form_input(fields, schema.properties, schema.document)

    async def prepare(self, request: PredictionRequest) -> PredictionRequest:
        """Do in a thread what `submit` and `put` would need long for; what is small is theirs."""
        if request.size < OFF_THE_LOOP:
            return request
        schema = self._inputs(is_training=request.is_training)
        return await trio.to_thread.run_sync(_prepared, request, schema)

    def submit(self, request: PredictionRequest) -> Job:
        """Accept a prediction, or raise one of the refusals of `supervisor.interface`."""
        if request.id is not None:
            check_id(request.id)
            if request.id in self._in_flight:
                raise DuplicateId(request.id)
        prediction_id = request.id or new_id(self._in_flight)
        prediction = self._checked(prediction_id, request)
        refusal = NotReady(_SHUTTING_DOWN) if self._refusing else self._health.refusal()
        if refusal is not None:
            raise refusal
        job = Job(prediction, withdraw=self._allocator.withdraw, over=self._over)
        if self._deliveries is not None:
            job.delivery = self._deliveries.of(job, request.output_file_prefix)
        # Before the hand-over, so that whatever ends it finds it.
        self._in_flight[prediction_id] = job
        try:
            self._allocator.submit(job)
        except AtCapacity:
            del self._in_flight[prediction_id]
            raise
        self._finished.forget(prediction_id)
        if request.webhook is not None and self._webhooks is not None:
            self._webhooks.watch(job, request.webhook, request.trace)
        return job

    def put(self, request: PredictionRequest) -> tuple[Job, bool]:
        """As `submit`; but what is in flight under the id, or succeeded with it, is not run again.

        Returns:
            The prediction, and whether it is a new one.
        """
        known = self.recall(request.id or "")
        if known is None:
            return self.submit(request), True
        if not known.prediction.is_terminal:
            return known, False
        request = evolve(request, identity=_identity(request))
        if _is_result_of(known.prediction, request):
            return known, False
        return self.submit(request), True

    def find(self, prediction_id: str) -> Job | None:
        """The prediction in flight that has this id."""
        return self._in_flight.get(prediction_id)

    def recall(self, prediction_id: str) -> Job | None:
        """The prediction in flight, or remembered, that has this id."""
        now = trio.current_time()
        return self._in_flight.get(prediction_id) or self._finished.get(prediction_id, now)

    def page(self, before: int | None, limit: int) -> tuple[list[Job], int | None]:
        """At most `limit` predictions, the newest first, and where the page ended, if it did."""
        known = [*self._in_flight.values(), *self._finished.all(trio.current_time())]
        older = [job for job in known if before is None or job.accepted < before]
        older.sort(key=lambda job: job.accepted, reverse=True)
        page = older[:limit]
        end = page[-1].accepted if len(older) > len(page) else None
        return page, end

    def health(self) -> HealthReport:
        """The health as it is known. Never waits."""
        is_free = self._allocator.has_free_slot and not self._refusing
        state = self._health.state(slot_is_free=is_free)
        return HealthReport(state, self._health.setup_report(), versions=self._health.versions)

    async def check_health(self) -> HealthReport:
        """The health, the model's own healthcheck included if it has one."""
        report = self.health()
        if report.state not in (HealthState.READY, HealthState.BUSY):
            return report
        error = await self._supervision.worker.check_health()
        if error is None:
            return self.health()
        return evolve(report, state=HealthState.UNHEALTHY, user_healthcheck_error=error)

    def openapi(self) -> dict[str, Any] | None:
        """The model's OpenAPI document; None before set-up ended, or if there is none."""
        schema = self._supervision.schema
        return None if schema is None else schema.document

    # --- the end of the program ---------------------------------------------------------------

    def request_shutdown(self) -> None:
        """Begin the orderly end of the whole program, as SIGTERM does."""
        if not self.shutdown_was_requested:
            self.shutdown_was_requested = True
            self._shutdown_to.send_nowait(None)

    async def shutdown_requested(self) -> None:
        """Wait until somebody asks for the end."""
        await self._shutdown.receive()

    def refuse(self) -> None:
        """Accept nothing any more."""
        self._refusing = True

    async def finished(self) -> None:
        """Wait until no prediction is in flight."""
        while self._in_flight:
            await next(iter(self._in_flight.values())).wait()

    # --- inside -------------------------------------------------------------------------------

    def _inputs(self, *, is_training: bool) -> InputSchema | None:
        """The schema of what was asked for; None: the model is not known yet."""
        schema = self._supervision.schema
        if schema is None:
            return None
        return schema.training_input if is_training else schema.input

    def _checked(self, prediction_id: str, request: PredictionRequest) -> Prediction:
        schema = self._inputs(is_training=request.is_training)
        checked = request.checked
        if checked is None or checked.schema is not schema:
            checked = check_input(request.input, schema)
        if checked.refusal is not None:
            raise checked.refusal
        if checked.dropped:
            self._telemetry.inputs_dropped(prediction_id, list(checked.dropped))
        return Prediction(
            id=prediction_id,
            input=checked.values,
            shown_input=checked.shown,
            limits=self._limits,
            context=request.context,
            trace=request.trace,
            is_training=request.is_training,
            identity=_identity(request) if request.id is not None else None,
            input_size=request.size,
            queued=trio.current_time() if self._allocator.has_queue else None,
            request_id=request.request_id,
        )

    def _over(self, job: Job) -> None:
        del self._in_flight[job.prediction.id]
        self._finished.add(job, trio.current_time())


def _prepared(request: PredictionRequest, schema: InputSchema | None) -> PredictionRequest:
    checked = check_input(request.input, schema)
    identity = None if request.id is None else _identity(request)
    return evolve(request, checked=checked, identity=identity)


def _identity(request: PredictionRequest) -> bytes:
    return request.identity or input_identity(request.input)


def _is_result_of(prediction: Prediction, request: PredictionRequest) -> bool:
    return (
        prediction.status is PredictionStatus.SUCCEEDED
        and prediction.is_training == request.is_training
        and prediction.identity == request.identity
    )
