"""Owns one slot socket: one task reads it at all times, one runs a prediction at a time on it.

What the worker says is applied by the reader, so that it counts also when the task that sent the
prediction is already being cancelled. The runner only dispatches, cancels and watches the clock.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from protocol.codec import decode_slot_response, encode_slot_request
from protocol.errors import LocalProtocolError, RemoteProtocolError, UnexpectedMessage
from protocol.messages import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    LogLine,
    ProtocolVersion,
)
from supervisor.ending import Cause, IncarnationEnd
from supervisor.job import TRIES_MAX, Job
from supervisor.message_reader import MessageReader
from supervisor.patience import patiently
from supervisor.prediction_folder import PredictionFolder, RunFolderLost
from supervisor.request_writer import RequestWriter
from supervisor.results import apply_result, log_line
from supervisor.state.slot import SlotPhase, SlotState

if TYPE_CHECKING:
    from protocol.messages import LogSource, SlotResponse
    from supervisor.incarnation import WorkerContext

__all__ = ["SlotTask"]

_FOREIGN_CANCEL_INTERVAL: Final = 0.2
"""Seconds. A foreign worker ignores a cancel that comes before it has read `predict`."""

_TURN: Final = 32
"""Messages after which the others have theirs: who reads a prediction's events, other slots. One
read from the socket can bring thousands. Beside four slots that send all they can, a health check
took 38 ms with 64 (median), 23 ms with 32, 16 ms with 16, which cost a fifth of the throughput."""


class SlotTask:
    """One slot of one worker.

    Args:
        slot_id: the name that the worker gave it.
        index: which socket it is.
        stream: the socket.
        worker: what all slots of the worker share.
    """

    def __init__(
        self, slot_id: str, index: int, stream: trio.abc.Stream, worker: WorkerContext
    ) -> None:
        self.id = slot_id
        self.state = SlotState()
        self.index = index
        self.stream = stream
        self._worker = worker
        self._reader = MessageReader(
            stream, f"slot {index}", decode_slot_response, worker.telemetry
        )
        self._give, self._inbox = trio.open_memory_channel[Job](1)
        self._progress_send, self._progress = trio.open_memory_channel[None](math.inf)
        self._job: Job | None = None
        self._stopping: Job | None = None
        self._folder: PredictionFolder | None = None
        self._folders = 0

    # --- for the allocator and the incarnation ------------------------------------------------

    def deliver(self, job: Job) -> None:
        """Take `job`; only called when the slot is available, so there is room."""
        self._give.send_nowait(job)

    def idle(self) -> None:
        """The control channel says that the slot is idle."""
        if not self.state.expects_idle():
            self._worker.telemetry.unexpected_idle(self.id)
            return
        self.state.idle()
        self._moved()

    def poison(self, error: str) -> None:
        """The control channel says that the slot is lost; its prediction fails with `error`."""
        self._worker.telemetry.slot_poisoned(self.id, error)
        self._worker.allocator.remove(self)
        self.state.poison()
        self.abandon(error)
        self._give.close()
        self._moved()

    def user_wrote(self, source: LogSource, text: str) -> bool:
        """Add to the logs of the prediction what did not come by the socket. False: none runs."""
        if self._job is None:
            return False
        log_line(LogLine(source, text), self._job.prediction, self._worker.telemetry)
        return True

    def worker_ended(self) -> None:
        """The worker is dead: nothing is worth waiting for, though its last words may be read."""
        self._progress_send.close()

    @property
    def last_words(self) -> str:
        """What the prediction that runs here wrote last to stderr."""
        return "" if self._job is None else self._job.prediction.last_words

    def abandon(self, error: str) -> None:
        """End the prediction that has no terminal message, if there is one: nothing of it runs."""
        job, self._job = self._job, None
        if job is None:
            return
        if job.cancel_requested:
            job.canceled()
        else:
            job.failed(error)
        self._ended(job)

    # --- the reader ---------------------------------------------------------------------------

    async def read(self) -> None:
        """Read the socket until the worker closes it.

        Raises:
            RemoteProtocolError: the worker broke the protocol; the error says where.
        """
        turn = 0
        while (message := await self._reader.next()) is not None:
            turn += 1
            if turn % _TURN == 0:
                await trio.lowlevel.checkpoint()
            try:
                await self._apply(message)
            except RemoteProtocolError as error:
                raise self._reader.located(error) from None

    async def _apply(self, message: SlotResponse) -> None:
        job = self._job
        if isinstance(message, ProtocolVersion) or self.state.phase is SlotPhase.POISONED:
            return
        if job is None and isinstance(message, LogLine):
            # A foreign worker's thread may print while its prediction ends: no harm in that.
            self._worker.telemetry.user_output(message)
            return
        if job is None:
            raise UnexpectedMessage(f"{type(message).__name__} on a slot without a prediction")
        if isinstance(message, Done | Failed | Cancelled):
            await self._finish(job, message)
            return
        assert self._folder is not None  # noqa: S101 - made before the prediction was sent
        await apply_result(
            message,
            job,
            size=self._reader.frame_size,
            output_dir=self._folder.outputs,
            files_anywhere=self._worker.is_foreign,
            telemetry=self._worker.telemetry,
        )

    async def _finish(self, job: Job, message: Done | Failed | Cancelled) -> None:
        if message.id != job.prediction.id:
            raise UnexpectedMessage(
                f"{type(message).__name__} for {message.id[:100]!r}, "
                f"but the prediction is {job.prediction.id!r}"
            )
        self._job = None
        self.state.terminal()
        self._moved()
        match message:
            case Done():
                as_list = message.is_stream or self._worker.schema.output_is_array
                self._succeeded(job, as_list=as_list)
            case Failed():
                job.failed(message.error)
            case Cancelled() if self._stopping is job and not job.cancel_requested:
                job.failed(self._worker.why_ending())
            case Cancelled():
                job.canceled()
        if job.prediction.is_terminal:
            self._ended(job)
        await self._remove_folder()

    def _succeeded(self, job: Job, *, as_list: bool) -> None:
        if job.delivery is not None and job.delivery.is_pending:
            job.prediction.answered(trio.current_time())
            job.delivery.end_later(as_list=as_list)
        else:
            job.succeeded(as_list=as_list)

    async def _remove_folder(self) -> None:
        folder = self._folder
        if folder is not None and not folder.is_untouched:
            self._folder = None
            await folder.remove()

    def _ended(self, job: Job) -> None:
        prediction = job.prediction
        self._worker.telemetry.prediction_ended(
            prediction.id, prediction.status.value, prediction.error, prediction.request_id
        )

    def _moved(self) -> None:
        """The state has changed: tell the allocator, and wake up the runner."""
        match self.state.phase:
            case SlotPhase.IDLE:
                self._worker.allocator.available(self)
            case SlotPhase.FINISHING:
                self._worker.allocator.finishing(self)
            case _:
                pass
        try:
            self._progress_send.send_nowait(None)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return  # the runner has ended, and what it waited for no longer matters

    # --- the runner ---------------------------------------------------------------------------

    async def run_jobs(self) -> None:
        """Run what the allocator gives, until cancelled, or until the slot or worker is lost."""
        try:
            self._worker.allocator.available(self)
            while self.state.phase is not SlotPhase.POISONED:
                await self._run(await self._inbox.receive())
        except trio.EndOfChannel:
            return  # `worker_ended`, and the incarnation is about to end; or `poison`
        finally:
            self._retire()

    def _retire(self) -> None:
        self._worker.allocator.remove(self)
        self.state.retire()
        self._progress.close()
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            self._give_back(self._inbox.receive_nowait())
        self._inbox.close()

    async def _run(self, job: Job) -> None:
        """Run one prediction: returns when the slot has been given back, or is lost."""
        try:
            with job.attempt():
                if await self._send(job):
                    await self._until_terminal(job)
        finally:
            if self._job is job:
                with trio.CancelScope(shield=True):
                    await self._stop(job)
        if self.state.is_finishing:
            await self._until_idle()

    async def _send(self, job: Job) -> bool:
        """Write `predict`. False: the prediction was over, or the slot lost, before it began."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except trio.Cancelled:
            self._give_back(job)
            raise
        # Shielded because what it waits for, a thread, would not stop anyway.
        with trio.CancelScope(shield=True):
            frame = await self._prepare(job)
            if frame is None or self.state.phase is SlotPhase.POISONED:
                await self._remove_folder()
        if frame is None:
            return False
        if self.state.phase is SlotPhase.POISONED:
            self._give_back(job)
            return False
        return await self._write(job, frame)

    async def _prepare(self, job: Job) -> bytearray | None:
        """Make the prediction's folder and its `predict`. None: it failed, and the job with it."""
        try:
            if self._folder is None:
                self._folders += 1
                name = f"{self.index}-{self._folders}"
                self._folder = PredictionFolder(self._worker.run_dir, name)
            files_apart = job.delivery is not None
            predict = await self._folder.predict(job.prediction, files_apart=files_apart)
            return encode_slot_request(predict)
        except RunFolderLost:
            # Somebody has cleared the temporary folder; only a new worker gets a new one.
            self._try_elsewhere(job, Cause.FOLDER_LOST, self._worker.run_dir)
            return None
        except (OSError, LocalProtocolError) as error:
            job.failed(f"The prediction could not be sent to the worker: {error}")
            self._ended(job)
            self._offer()
            return None

    def _give_back(self, job: Job) -> None:
        """No worker has seen `job`: the next one gets it, unless its client wants it no more."""
        if job.cancel_requested:
            job.canceled()
            self._ended(job)
            self._offer()
        else:
            self._worker.allocator.put_back(job)

    def _offer(self) -> None:
        if self.state.phase is SlotPhase.IDLE:
            self._worker.allocator.available(self)

    async def _write(self, job: Job, frame: bytearray) -> bool:
        # The reader has to know the job before the worker can answer.
        self._job = job
        self.state.predict()
        job.prediction.start(trio.current_time())
        writer = RequestWriter(self.stream, f"slot {self.index}", self._worker.times)
        try:
            await writer.write(frame)
        finally:
            if writer.problem is None:
                job.prediction.sent()
            else:
                self._not_sent(job, *writer.problem)
        return writer.problem is None

    def _not_sent(self, job: Job, cause: Cause, detail: str) -> None:
        # Meanwhile the slot may have been poisoned, or a lying worker have ended the prediction.
        if self._job is job:
            self._job = None
            job.prediction.unsent()
            self._try_elsewhere(job, cause, detail)
        else:
            self._worker.give_up(cause, detail)

    def _try_elsewhere(self, job: Job, cause: Cause, detail: str) -> None:
        """This worker cannot be handed `job`, and is given up; the next one may, but not for ever.

        A prediction that no worker can take would otherwise end one after another.
        """
        job.tries += 1
        if job.cancel_requested or job.tries < TRIES_MAX:
            self._give_back(job)
        elif trio.current_effective_deadline() == -math.inf:
            # All work of this worker is cancelled: that, not the slot, is what the client is told.
            job.failed(self._worker.why_ending())
            self._ended(job)
        else:
            problem = IncarnationEnd(cause, detail).reason()
            job.failed(
                f"The prediction could not be handed to a worker, {job.tries} times. The last "
                f"time {problem}"
            )
            self._ended(job)
        self._worker.give_up(cause, detail)

    async def _stop(self, job: Job) -> None:
        """Tell the worker to stop the prediction, and wait for it to say that it did."""
        if self._progress.statistics().open_send_channels == 0:
            return  # `worker_ended`: nobody is there to be told
        self._stopping = job
        self._worker.telemetry.cancel_sent(job.prediction.id)
        grace = self._worker.times.cancel_grace
        if self._worker.is_foreign:
            stopped = partial(self._cancel_again_and_again, job)
        else:
            self._worker.control.send(Cancel(self.id, id=job.prediction.id))
            stopped = partial(self._until_terminal, job)
        try:
            await patiently(grace, stopped)
        except trio.EndOfChannel:
            return
        except trio.TooSlowError:
            self._worker.give_up(
                Cause.STUCK, f"slot {self.index} did not stop within {grace:g} s of its cancel"
            )

    async def _cancel_again_and_again(self, job: Job) -> None:
        while self._job is job:
            self._worker.control.send(Cancel(self.id))
            with trio.move_on_after(_FOREIGN_CANCEL_INTERVAL):
                await self._until_terminal(job)

    async def _until_terminal(self, job: Job) -> None:
        while self._job is job:
            await self._progress.receive()

    async def _until_idle(self) -> None:
        grace = self._worker.times.idle_grace
        try:
            await patiently(grace, self._while_finishing)
        except trio.TooSlowError:
            self._worker.give_up(
                Cause.STUCK, f"slot {self.index} was not idle {grace:g} s after its prediction"
            )

    async def _while_finishing(self) -> None:
        while self.state.is_finishing:
            await self._progress.receive()
