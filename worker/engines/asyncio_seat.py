"""One slot on an asyncio loop: reads its socket, runs its predictions, one task each.

A `Cancel` is noted when it comes, so it counts even if the model blocks the loop and returns. To
the model it is one `task.cancel()`: its clean-up may await what it likes. A second one comes only
when the grace is over.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from protocol.errors import RemoteProtocolError
from worker.answer import Answer
from worker.cancellation import SlotCancels, enters_model
from worker.error_text import Stage
from worker.forked import exit_in_child
from worker.inputs import prepared_inputs
from worker.output_files import is_file
from worker.outputs import stream_of
from worker.scope import active_scope
from worker.sdk import CancelationException

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor
    from contextlib import AbstractContextManager

    from protocol.messages import FileOutput, Predict
    from worker.answer import Outcome
    from worker.engines.interface import Workplace
    from worker.engines.loop_watch import LoopWatch
    from worker.slot import Slot

    Opened = tuple[AbstractContextManager[dict[str, Any]], dict[str, Any]]

__all__ = ["Seat"]


class Seat:
    """A slot and the prediction that runs in it. Used on the loop's thread, except `cancel`."""

    def __init__(
        self,
        slot: Slot,
        place: Workplace,
        loop: asyncio.AbstractEventLoop,
        threads: ThreadPoolExecutor,
        watch: LoopWatch,
        ended: Callable[[], None],
    ) -> None:
        """`threads` fetch inputs and copy files; `ended` is called when the seat may be over."""
        self._slot = slot
        self._place = place
        self._predictor = place.predictor
        self._loop = loop
        self._threads = threads
        self._watch = watch
        self._ended = ended
        self._stage = Stage.ASYNC_TRAIN if place.is_train else Stage.ASYNC_CALL
        self._only_one = len(place.slots) == 1
        self._lock = threading.Lock()
        self._cancels = SlotCancels()
        """Guarded by the lock."""
        self._task: asyncio.Task[None] | None = None
        self._task_runs = False
        self._told_to_stop = False
        """Whether the task was cancelled."""
        self._closed = False

    @property
    def is_over(self) -> bool:
        """Whether nothing runs here and nothing will."""
        return self._task is None and (self._closed or self._slot.poisoned)

    def open(self) -> None:
        """Begin to read requests."""
        self._slot.never_wait()
        self._loop.add_reader(self._slot.connection, self._read)

    def close(self) -> None:
        """Take no more requests."""
        self._loop.remove_reader(self._slot.connection)
        self._closed = True

    def cancel(self, prediction: str | None) -> bool:
        """A `Cancel` came; it may have overtaken its request on the other channel.

        From any thread. True: `stop_task` is to be called on the loop's thread.
        """
        with self._lock:
            known = self._cancels.cancelled
            return self._cancels.request(prediction, self._slot.request_arrived) and not known

    def stop_task(self) -> None:
        """Pass a `Cancel` on to the task, if what it meant still runs."""
        task = self._task
        # A task that is cancelled before its first step would never say how it ended; so it looks
        # by itself, there.
        if task is None or not self._task_runs or self._told_to_stop or not self._cancels.cancelled:
            return
        self._told_to_stop = True
        task.cancel()
        self._loop.call_later(self._place.options.cancel_grace, self._cancel_again, task)

    def cancel_now(self) -> None:
        """Stop whatever runs."""
        if self.cancel(None):
            self.stop_task()

    def _cancel_again(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            task.cancel()

    def _read(self) -> None:
        """Something, or the end, can be read."""
        reader = self._slot.reader
        try:
            if self._task is None:
                # First: a `Cancel` that comes now must find the request in the socket or announced.
                self._note_reading()
            self._closed = not reader.read_more() or self._closed
            while (frame := reader.next_frame_nowait()) is not None:
                predict = self._slot.decode(frame)
                if predict is None and self._task is None:
                    self._note_reading(request=False)
                if predict is not None:
                    self._begin(predict)
        except BlockingIOError:
            return  # there was nothing after all
        except (RemoteProtocolError, OSError) as error:
            self._closed = True
            self._slot.poison(str(error))
        if self._closed:
            self.close()
            self._ended()

    def _note_reading(self, *, request: bool = True) -> None:
        with self._lock:
            self._cancels.reading(request=request)

    def _begin(self, predict: Predict) -> None:
        if self._task is not None:
            self._slot.refuse(predict)
            return
        answer = Answer(
            self._slot,
            predict,
            self._stage,
            error_prefixes=self._place.options.error_prefixes,
        )
        with self._lock:
            self._cancels.begin(predict.id)
        self._task_runs = self._told_to_stop = False
        self._task = self._loop.create_task(self._serve(predict, answer))

    async def _serve(self, predict: Predict, answer: Answer) -> None:
        self._task_runs = True
        self._watch.began()
        self._place.router.set_current(answer.sink)
        if self._only_one:
            self._place.capture.begin(answer.sink)
        outcome: Outcome = answer.cancelled()
        if not self._cancels.cancelled:
            ended = await self._run(predict, answer)
            if not self._finish():
                outcome = ended
        else:
            self._finish()
        if self._only_one:
            self._place.capture.end(answer.sink)
        else:
            answer.sink.close()
        answer.end(outcome)
        self._task = None
        self._watch.ended()
        self._slot.release()
        self._ended()

    def _finish(self) -> bool:
        """No `Cancel` meets the prediction any more. True: one has."""
        with self._lock:
            return self._cancels.finish()

    async def _run(self, predict: Predict, answer: Answer) -> Outcome:
        """Run the model; whatever it raises becomes a value here."""
        try:
            inputs, arguments = await self._open_inputs(predict, answer)
            try:
                with active_scope(answer.metric, predict.context, process_wide=self._only_one):
                    await self._call(arguments, answer)
            finally:
                inputs.__exit__(None, None, None)
        except BaseException as error:
            if self._cancels.cancelled and isinstance(error, asyncio.CancelledError):
                return answer.cancelled()
            if self._only_one:
                self._place.capture.catch_up()  # what C code said comes before the traceback
            return answer.outcome_of(error)
        return answer.done()

    async def _open_inputs(self, predict: Predict, answer: Answer) -> Opened:
        fields = self._predictor.signature.fields
        if predict.input_file is None and all(field.convert is None for field in fields):
            return self._opened(answer)
        opening = self._threads.submit(self._opened, answer)
        try:
            return await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            # The thread cannot be stopped; what it has fetched goes when it is done.
            opening.add_done_callback(_close_abandoned)
            raise

    def _opened(self, answer: Answer) -> Opened:
        inputs = prepared_inputs(
            self._predictor.signature,
            answer.raw_input(),
            self._place.options,
            folder=answer.folder,
        )
        return inputs, inputs.__enter__()

    @enters_model
    async def _call(self, arguments: dict[str, Any], answer: Answer) -> None:
        result = self._predictor.call(**arguments)
        if inspect.isawaitable(result):
            result = await result
        exit_in_child()
        if hasattr(type(result), "__aiter__"):
            await self._send_async_items(result, answer)
            return
        items = stream_of(result)
        if items is not None:
            ready = isinstance(result, list | tuple)
            await self._send_items(items, answer, ready=ready)
        elif result is not None:
            await self._hold(result, answer)

    @enters_model
    async def _hold(self, item: Any, answer: Answer) -> None:
        if is_file(item):
            answer.hold_message(await self._copied(item, answer))
        else:
            answer.hold(item)

    async def _copied(self, item: Any, answer: Answer) -> FileOutput:
        """Have a file copied in a thread. A cancel waits until nothing is left of it."""
        stopped = threading.Event()

        def go_on() -> None:
            if stopped.is_set():
                raise CancelationException

        copying = self._threads.submit(copy_context().run, answer.file_message, item, go_on)
        try:
            return await asyncio.wrap_future(copying)
        except asyncio.CancelledError:
            stopped.set()
            await asyncio.gather(asyncio.wrap_future(copying), return_exceptions=True)
            raise

    @enters_model
    async def _send_async_items(self, items: AsyncIterable[Any], answer: Answer) -> None:
        answer.is_stream = True
        iterator = aiter(items)
        try:
            async for item in iterator:
                await self._hold(item, answer)
                answer.send_held()
                await asyncio.sleep(0)  # a generator that awaits nothing must not hold the loop
                if self._told_to_stop:
                    return  # it has swallowed the exception
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    @enters_model
    async def _send_items(self, items: Iterator[Any], answer: Answer, *, ready: bool) -> None:
        answer.is_stream = True
        answer.stage = Stage.ITERATION
        try:
            for item in items:
                await self._hold(item, answer)
                if not ready:
                    answer.send_held()
                    await asyncio.sleep(0)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()


def _close_abandoned(opening: Future[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        inputs, _ = opening.result()
        inputs.__exit__(None, None, None)
