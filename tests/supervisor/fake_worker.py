"""A worker without a process: it speaks the wire over memory streams, and is its own link.

Tests play the worker by hand (`worker.slots[0].receive()`, `worker.say(...)`), or let `Obedient`
play it. Everything runs on Trio's clock, so with `autojump_clock` nothing takes real time, and a
wait for something that never comes fails at once instead of hanging.
"""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from protocol import messages as m
from protocol.codec import (
    decode_control_request,
    decode_slot_request,
    encode_control_response,
    encode_slot_response,
)
from protocol.framing import FrameDecoder
from protocol.transport import NamedSockets
from supervisor.allocator import Allocator
from supervisor.config import Config, Limits, Times
from supervisor.incarnation import Incarnation
from supervisor.job import Job
from supervisor.link import WorkerEnd
from supervisor.state.health import WorkerHealth
from supervisor.state.prediction import Prediction
from supervisor.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from supervisor.ending import IncarnationEnd

PATIENCE = 600.0
"""Seconds, of a clock that jumps: longer than everything that is waited for."""

EXITED = WorkerEnd(0, None)
CRASHED = WorkerEnd(None, signal.SIGSEGV, "libmodel: segmentation fault\n")
KILLED = WorkerEnd(None, signal.SIGKILL, forced=True)


class WorkerSide:
    """The worker's end of one channel: whole messages in and out, or any bytes out."""

    def __init__(
        self,
        decode: Callable[[memoryview], Any],
        encode: Callable[[Any], bytes],
        *,
        lockstep: bool = False,
    ) -> None:
        pair = lockstep_stream_pair if lockstep else memory_stream_pair
        self.supervisor_end, self._stream = pair()
        self._decode = decode
        self._encode = encode
        self._frames = FrameDecoder()
        self._one_writer = trio.Lock()

    async def receive(self) -> Any:
        """The next message from the supervisor; None when the channel or this worker has ended."""
        with trio.fail_after(PATIENCE):
            while (frame := self._frames.next_frame()) is None:
                try:
                    data = await self._stream.receive_some()
                except trio.ClosedResourceError:
                    return None
                if not data:
                    return None
                self._frames.receive_data(data)
            return self._decode(frame)

    async def say(self, *messages: Any) -> None:
        """Write messages, all in one piece."""
        await self.write(b"".join(self._encode(message) for message in messages))

    async def write(self, data: bytes) -> None:
        """Write bytes, whatever they are."""
        async with self._one_writer:
            await self._stream.send_all(data)

    def block_writes(self) -> None:
        """From now on the supervisor's writes are stuck, as if nobody read."""

        async def stuck() -> None:
            await trio.sleep_forever()

        self.supervisor_end.send_stream.send_all_hook = stuck

    def delay_writes(self, seconds: float) -> None:
        """From now on each of the supervisor's writes takes so long."""
        deliver = self.supervisor_end.send_stream.send_all_hook

        async def slow() -> None:
            await trio.sleep(seconds)
            await deliver()

        self.supervisor_end.send_stream.send_all_hook = slow

    def break_writes(self) -> None:
        """From now on the supervisor's writes fail, as if the peer were gone."""
        self._stream.receive_stream.close()

    def close(self) -> None:
        """Close the worker's end, in both directions."""
        self._stream.send_stream.close()
        self._stream.receive_stream.close()


class FakeWorker:
    """A worker, and the `WorkerLink` to it.

    Args:
        run_dir: where prediction folders are made.
        slots: how many.
        foreign: it does not introduce itself in `ready`, as coglet's worker.
        lockstep: each write waits until it was read, as when a pipe is full.
    """

    def __init__(
        self, run_dir: Path, slots: int = 1, *, foreign: bool = False, lockstep: bool = False
    ) -> None:
        self.channel = WorkerSide(
            decode_control_request, encode_control_response, lockstep=lockstep
        )
        self.slots = [
            WorkerSide(decode_slot_request, encode_slot_response, lockstep=lockstep)
            for _ in range(slots)
        ]
        self.slot_ids = [f"slot-id-{index}" for index in range(slots)]
        self.control = self.channel.supervisor_end
        self.run_dir = str(run_dir)
        self.transport = NamedSockets(self.run_dir, slots)
        self.end_calls: list[float] = []
        """The grace of each call of `end`."""
        self.unread, self._output = trio.open_memory_channel[bytes](10)
        """Takes output that the worker does not read."""
        self.is_much_unread = True
        """Whether that is so much that it may be stuck."""
        self.forgotten = 0
        """How often the supervisor said that the worker reads by itself again."""
        self.opened = 0
        self.closed = 0
        self._foreign = foreign
        self._dead = trio.Event()
        self._gone = trio.Event()
        self._end: WorkerEnd | None = None

    # --- the link -----------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self, config: Config) -> AsyncIterator[FakeWorker]:
        """What an incarnation calls to get its worker."""
        assert config.max_concurrency == len(self.slots)
        self.opened += 1
        try:
            yield self
        finally:
            self.closed += 1

    async def accept_slots(self) -> list[trio.abc.Stream]:
        await trio.lowlevel.checkpoint()
        return [slot.supervisor_end for slot in self.slots]

    def output_waits(self) -> bool:
        return self.is_much_unread and self._output.statistics().current_buffer_used > 0

    async def read_output(self) -> bytes:
        return await self._output.receive()

    def forget_output(self) -> None:
        self.forgotten += 1

    async def died(self) -> None:
        await self._dead.wait()

    async def ended(self) -> WorkerEnd:
        await self._gone.wait()
        assert self._end is not None
        return self._end

    async def end(self, grace: float) -> WorkerEnd:
        self.end_calls.append(grace)
        with trio.move_on_after(grace):
            await self._gone.wait()
        if not self._gone.is_set():
            self.die(KILLED)
        return await self.ended()

    # --- the worker ---------------------------------------------------------------------------

    async def say(self, *messages: m.ControlResponse) -> None:
        """Write on the control channel."""
        await self.channel.say(*messages)

    async def set_up(
        self, *, schema: dict[str, Any] | None = None, healthcheck: bool = False
    ) -> None:
        """Read `init`, say `ready`."""
        assert isinstance(await self.channel.receive(), m.Init)
        await self.say(self.ready(schema=schema, healthcheck=healthcheck))
        await trio.testing.wait_all_tasks_blocked()

    def ready(self, *, schema: dict[str, Any] | None = None, healthcheck: bool = False) -> m.Ready:
        """The message."""
        info = None if self._foreign else m.WorkerInfo("fake", "1", healthcheck=healthcheck)
        return m.Ready(self.slot_ids, schema, info)

    async def running(self) -> dict[str, int]:
        """Read a `predict` from every slot: which prediction came to which."""
        return {(await slot.receive()).id: index for index, slot in enumerate(self.slots)}

    async def idle(self, index: int = 0) -> None:
        """Say that a slot is idle."""
        await self.say(m.Idle(self.slot_ids[index]))

    async def answer(self, asked: m.Healthcheck) -> None:
        """Say that the model is well."""
        await self.say(m.HealthcheckResult(asked.id, m.HealthStatus.HEALTHY))

    async def done(self, prediction_id: str, index: int = 0) -> None:
        """Say that a prediction succeeded, and that its slot is idle."""
        await self.slots[index].say(m.Done(prediction_id, 0.1))
        await self.idle(index)
        await trio.testing.wait_all_tasks_blocked()

    def lie_dead(self) -> None:
        """Be dead, and not buried yet."""
        self._dead.set()

    def die(self, end: WorkerEnd = CRASHED, *, keep_open: bool = False) -> None:
        """The process ends. `keep_open`: a child of it holds its end of every channel."""
        if self._gone.is_set():
            return
        self._end = end
        self._dead.set()
        self._gone.set()
        if not keep_open:
            self.close()

    def close(self) -> None:
        """Close all that the process has open."""
        for side in (self.channel, *self.slots):
            side.close()


class Obedient:
    """Plays a worker that does as it is told: becomes ready, stops what is cancelled, exits.

    Args:
        worker: whom it plays.
        answers: whether it answers predictions at once, too; else they run until cancelled.
    """

    def __init__(self, worker: FakeWorker, *, answers: bool = False) -> None:
        self.worker = worker
        self.predicts: list[m.Predict] = []
        self._answers = answers
        self._running: dict[int, str] = {}

    async def run(self) -> None:
        """Play until `shutdown`, or until the worker is dead."""
        async with trio.open_nursery() as nursery:
            for index in range(len(self.worker.slots)):
                nursery.start_soon(self._serve_slot, index)
            await self._serve_control()
            nursery.cancel_scope.cancel()

    async def _serve_control(self) -> None:
        while True:
            match await self.worker.channel.receive():
                case m.Init():
                    await self.worker.say(self.worker.ready())
                case m.Cancel(slot=slot_id):
                    index = self.worker.slot_ids.index(slot_id)
                    running = self._running.pop(index, None)
                    if running is not None:
                        await self._over(index, m.Cancelled(running))
                case m.Shutdown() | None:
                    self.worker.die(EXITED)
                    return

    async def _serve_slot(self, index: int) -> None:
        while (predict := await self.worker.slots[index].receive()) is not None:
            self.predicts.append(predict)
            if self._answers:
                await self._over(index, m.Done(predict.id, 0.1))
            else:
                self._running[index] = predict.id

    async def _over(self, index: int, message: m.SlotResponse) -> None:
        try:
            await self.worker.slots[index].say(message)
            await self.worker.idle(index)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return


class Life:
    """One incarnation under test, with all that it needs."""

    def __init__(
        self,
        open_link: Callable[[Config], AbstractAsyncContextManager[Any]],
        *,
        slots: int = 1,
        queue: int = 0,
        times: Times | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.config = Config(
            "predict.py:Predictor",
            max_concurrency=slots,
            times=times or Times(),
            limits=self.limits,
        )
        self.allocator = Allocator(queue)
        self.health = WorkerHealth(self.limits.max_logs)
        self.incarnation = Incarnation(
            self.config, self.allocator, self.health, Telemetry(), open_link
        )
        self.scope = trio.CancelScope()
        self.over: list[str] = []
        """Ids of predictions, as they became terminal."""
        self._end_to, self._end = trio.open_memory_channel["IncarnationEnd"](1)

    async def run(self) -> None:
        with self.scope, self._end_to:
            self._end_to.send_nowait(await self.incarnation.live())

    async def end(self) -> IncarnationEnd:
        """Wait until the incarnation has ended by itself."""
        with trio.fail_after(PATIENCE):
            return await self._end.receive()

    def job(self, prediction_id: str = "p1", **changes: Any) -> Job:
        """An accepted prediction."""
        request = {"id": prediction_id, "input": {"text": "hi"}, "shown_input": {"text": "hi"}}
        prediction = Prediction(**(request | changes), limits=self.limits)
        return Job(
            prediction,
            withdraw=self.allocator.withdraw,
            over=lambda job: self.over.append(job.prediction.id),
        )

    def submit(self, prediction_id: str = "p1", **changes: Any) -> Job:
        """Accept a prediction and give it to the allocator."""
        job = self.job(prediction_id, **changes)
        self.allocator.submit(job)
        return job


async def ending(job: Job) -> Any:
    """The view of a prediction at its end."""
    with trio.fail_after(PATIENCE):
        return await job.wait()


@asynccontextmanager
async def living(worker: FakeWorker, **options: Any) -> AsyncIterator[Life]:
    """An incarnation with `worker`, cancelled when the block ends."""
    life = Life(worker.open, slots=len(worker.slots), **options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(life.run)
        yield life
        life.scope.cancel()
