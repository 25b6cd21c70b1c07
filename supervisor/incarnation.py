"""One life of the worker: the nursery that holds its channels, its slots and its end.

Two kinds of tasks end differently. *I/O* (watch the process, read every channel, write the control
channel) is shielded and ends at end-of-file; *work* (set-up, the slots' runners) sits in a scope
and is cancelled. Whatever happens, `_end_worker` ends the life, in one order, and only after the
last byte was read are predictions without a terminal message failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never

import trio
from attrs import asdict, frozen

from protocol import messages as m
from protocol.errors import FrameTruncated, RemoteProtocolError, UnexpectedMessage
from supervisor.allocator import Allocator
from supervisor.config import Config, Times
from supervisor.control_channel import ControlChannel
from supervisor.ending import Cause, IncarnationEnd
from supervisor.healthcheck import HealthcheckCalls
from supervisor.message_reader import discard
from supervisor.model_schema import ModelSchema
from supervisor.process import SpawnError, WorkerEnded
from supervisor.relief import Relief
from supervisor.slot_task import SlotTask
from supervisor.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from contextlib import AbstractAsyncContextManager

    from supervisor.process import WorkerEnd, WorkerLink
    from supervisor.state.health import WorkerHealth

__all__ = ["Incarnation", "OpenLink", "WorkerContext"]

OpenLink: TypeAlias = "Callable[[Config], AbstractAsyncContextManager[WorkerLink]]"
"""How an incarnation gets its worker: spawned today, attached later."""


@frozen
class WorkerContext:
    """What all slots of one worker share.

    Attributes:
        is_foreign: the worker is not ours: it does not know our additions to the wire.
        run_dir: the worker's private folder.
        give_up: ends the incarnation, for a cause and with more about it.
        why_ending: the error of a prediction that is stopped because the incarnation ends.
    """

    allocator: Allocator
    control: ControlChannel
    times: Times
    telemetry: Telemetry
    schema: ModelSchema
    is_foreign: bool
    run_dir: str
    give_up: Callable[[Cause, str], None]
    why_ending: Callable[[], str]


_WORKERS_SHARE: Final = 0.8
"""Of the cancel grace: then the worker insists, and what obeys only then still stops in time."""


class Incarnation:
    """One worker, from spawn to reap. Call `live` once.

    Args:
        config: what to run, and how long things may take.
        allocator: gives jobs to the slots.
        health: is told how set-up goes.
        telemetry: is told everything else.
        open_link: makes the worker and the link to it.
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
        self.schema: ModelSchema | None = None
        """What is known of the model's inputs and outputs, once it is READY."""
        self._cause: tuple[Cause, str] | None = None
        self._work = trio.CancelScope()
        self._io_scopes: list[trio.CancelScope] = []
        self._slots: dict[str, SlotTask] = {}
        self._ready: m.Ready | None = None
        self._ready_to, self._ready_in = trio.open_memory_channel[m.Ready](1)
        self._ready_at: float | None = None

    async def live(self) -> IncarnationEnd:
        """Run a worker until it ends or this is cancelled; either way nothing of it is left."""
        try:
            async with self._open_link(self._config) as link:
                return await self._live(link)
        except SpawnError as error:
            return IncarnationEnd(Cause.SPAWN_FAILED, str(error))

    async def check_health(self) -> str | None:
        """None if the model is healthy or has no healthcheck, else what is wrong with it."""
        if self._ready is None:
            return None
        if self._ready.worker is not None and not self._ready.worker.healthcheck:
            return None
        return await self._healthchecks.call()

    # --- the life -----------------------------------------------------------------------------

    async def _live(self, link: WorkerLink) -> IncarnationEnd:
        self._link = link
        self._control = ControlChannel(link.control, self._telemetry)
        self._healthchecks = HealthcheckCalls(
            self._control.send, self._config.times.healthcheck_timeout
        )
        self._relief = Relief(link, self._control.send, self._on_output)
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    for task in (self._watch_process, self._read_control, self._control.write):
                        self._nursery.start_soon(self._io, task)
                    with self._work:
                        await self._set_up()
                        await self._serve()
                        self._give_up(Cause.POISONED)
                finally:
                    with trio.CancelScope(shield=True):
                        worker_end = await self._end_worker()
        finally:
            # Everything has been read: what has no terminal message now will never have one.
            end = self._summary(worker_end)
            if worker_end.unread:
                self._on_output(worker_end.unread)
            for slot in self._slots.values():
                slot.abandon(end.prediction_error(slot.last_words))
            if end.cause is Cause.ASKED:
                self._telemetry.worker_stopped(worker_end.describe())
        return end

    async def _set_up(self) -> None:
        timeout = self._config.times.setup_timeout
        with trio.move_on_after(math.inf if timeout is None else timeout) as scope:
            self._control.send(self._init())
            streams = await self._accept_slots()
            ready = await self._ready_in.receive()
        if scope.cancelled_caught:
            self._give_up(Cause.SETUP_TIMEOUT, f"not ready after {timeout:g} s (--setup-timeout)")
        # What follows `ready` in the same chunk may have ended this worker already.
        await trio.lowlevel.checkpoint_if_cancelled()
        self.schema = ModelSchema(
            ready.schema,
            is_train=self._config.is_train,
            optional=ready.worker.optional_inputs if ready.worker is not None else (),
        )
        context = WorkerContext(
            allocator=self._allocator,
            control=self._control,
            times=self._config.times,
            telemetry=self._telemetry,
            schema=self.schema,
            is_foreign=ready.worker is None,
            run_dir=self._link.run_dir,
            give_up=self._give_up,
            why_ending=self._why_ending,
        )
        for index, (slot_id, stream) in enumerate(zip(ready.slots, streams, strict=True)):
            slot = SlotTask(slot_id, index, stream, context)
            self._slots[slot_id] = slot
            self._nursery.start_soon(self._io, partial(self._read_slot, slot))
        self._ready_at = trio.current_time()
        self._health.ready(ready.worker.versions if ready.worker is not None else {})
        self._telemetry.worker_ready(self._ready_at - self._started_at)

    async def _accept_slots(self) -> list[trio.SocketStream]:
        try:
            return await self._link.accept_slots()
        except WorkerEnded:
            self._give_up(Cause.EXITED)
            await trio.sleep_forever()  # Until the cancellation that this has caused.

    def _init(self) -> m.Init:
        self._started_at = trio.current_time()
        return m.Init(
            predictor_ref=self._config.predictor_ref,
            num_slots=self._config.max_concurrency,
            transport_info=self._link.transport,
            is_train=self._config.is_train,
            options=asdict(self._config.worker)
            | {"cancel_grace": self._config.times.cancel_grace * _WORKERS_SHARE},
        )

    async def _serve(self) -> None:
        """Let the slots run what they get, until every one of them is poisoned."""
        async with trio.open_nursery() as runners:
            for slot in self._slots.values():
                runners.start_soon(slot.run_jobs)

    # --- the end ------------------------------------------------------------------------------

    def _give_up(self, cause: Cause, detail: str = "") -> None:
        if self._cause is None or self._cause[0].yields_to(cause):
            self._cause = cause, detail
            if cause is not Cause.ASKED:
                self._health.ending(IncarnationEnd(cause, detail).reason())
        self._work.cancel()

    def _why_ending(self) -> str:
        # No cause yet: the cancellation came from outside, as `_end_worker` will say.
        cause, detail = self._cause or (Cause.ASKED, "")
        return IncarnationEnd(cause, detail).prediction_error()

    async def _end_worker(self) -> WorkerEnd:
        """Shutdown, then the link's ladder, then at most `last_read` for what was written."""
        self._give_up(Cause.ASKED)
        times = self._config.times
        self._control.send_last(m.Shutdown(grace=times.shutdown_grace))
        worker_end = await self._link.end(times.shutdown_grace)
        deadline = trio.current_time() + times.last_read
        for scope in self._io_scopes:
            scope.deadline = deadline
        self._healthchecks.close()
        return worker_end

    def _summary(self, worker_end: WorkerEnd) -> IncarnationEnd:
        assert self._cause is not None  # noqa: S101 - `_end_worker` has set one
        cause, detail = self._cause
        ready_for = None if self._ready_at is None else trio.current_time() - self._ready_at
        return IncarnationEnd(cause, detail, worker_end, ready_for)

    # --- I/O ----------------------------------------------------------------------------------

    async def _io(self, task: Callable[[], Awaitable[None]]) -> None:
        with trio.CancelScope(shield=True) as scope:
            self._io_scopes.append(scope)
            await task()

    async def _watch_process(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._relief.watch)
            await self._link.died()
            nursery.cancel_scope.cancel()  # What waits in the pipe now are its last words.
        await self._link.ended()
        self._give_up(Cause.EXITED)
        for slot in self._slots.values():
            slot.worker_ended()

    async def _read_control(self) -> None:
        reading = self._control.read(self._on_control)
        await self._read(reading, self._link.control, "the control channel")

    async def _read_slot(self, slot: SlotTask) -> None:
        await self._read(slot.read(), slot.stream, f"slot {slot.index}")

    async def _read(self, reading: Awaitable[None], stream: trio.abc.Stream, name: str) -> None:
        try:
            await reading
        except FrameTruncated as error:
            # It died while it wrote: how it died will say more than where.
            self._give_up(Cause.CHANNEL_CLOSED, str(error))
        except RemoteProtocolError as error:
            self._give_up(Cause.PROTOCOL_ERROR, str(error))
            await discard(stream)
        else:
            self._give_up(Cause.CHANNEL_CLOSED, name)

    def _on_control(self, message: m.ControlResponse) -> None:
        match message:
            case m.Ready():
                self._on_ready(message)
            case m.Idle():
                self._on_idle(message.slot)
            case m.SlotFailed() if self._ready is None:
                self._give_up(Cause.SETUP_FAILED, message.error)
            case m.SlotFailed():
                self._slot(message.slot).poison(message.error)
            case m.Fatal():
                self._give_up(Cause.FATAL, message.reason)
            case m.HealthcheckResult():
                if not self._relief.answered(message):
                    self._healthchecks.answered(message)
            case m.Log():
                self._on_log(message)
            case m.WorkerLog():
                self._telemetry.worker_log(message)
            case m.DroppedLogs():
                self._telemetry.logs_dropped(message.count, message.interval_millis / 1000)
            case m.SlotCancelled() | m.ShuttingDown():
                pass
            case _:
                assert_never(message)

    def _on_log(self, message: m.Log) -> None:
        if self._ready is None:
            self._health.add_setup_log(message.data)
            self._telemetry.setup_output(message)
        else:
            self._telemetry.user_output(message)

    def _on_output(self, text: str) -> None:
        """The worker could not read what was written to its fd 1 and 2. Who wrote it, it knows."""
        source = m.LogSource.STDOUT
        if len(self._slots) == 1 and next(iter(self._slots.values())).user_wrote(source, text):
            return
        self._on_log(m.Log(source, text))

    def _on_ready(self, message: m.Ready) -> None:
        slots = self._config.max_concurrency
        if self._ready is not None:
            raise UnexpectedMessage("ready, a second time")
        if len(set(message.slots)) != slots or len(message.slots) != slots:
            raise UnexpectedMessage(f"ready with {len(message.slots)} slot ids, not {slots}")
        self._ready = message
        self._ready_to.send_nowait(message)

    def _on_idle(self, slot_id: str) -> None:
        if self._ready is not None and not self._slots and slot_id in self._ready.slots:
            # It has come with `ready`, before its slot has begun.
            self._telemetry.unexpected_idle(slot_id)
        else:
            self._slot(slot_id).idle()

    def _slot(self, slot_id: str) -> SlotTask:
        slot = self._slots.get(slot_id)
        if slot is None:
            raise UnexpectedMessage(f"unknown slot {slot_id[:100]!r}")
        return slot
