"""One slot of a sync predictor: the calling thread reads a request, runs it and writes the answer.

No thread hop on that path. A `Cancel` comes in on another thread and interrupts this one.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
from typing import TYPE_CHECKING, Any

from protocol.errors import RemoteProtocolError
from worker.answer import Answer
from worker.call_stack import enters_model
from worker.error_text import Stage
from worker.forked import exit_in_child
from worker.inputs import prepared_inputs
from worker.outputs import stream_of
from worker.scope import active_scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterator
    from contextvars import Context

    from protocol.messages import Predict
    from worker.answer import Outcome
    from worker.engines.interface import Workplace
    from worker.engines.own_loop import OwnLoop
    from worker.interrupter import Interrupter
    from worker.slot import Slot

__all__ = ["SyncSeat"]


class SyncSeat:
    """A slot and the thread that serves it."""

    def __init__(
        self, slot: Slot, place: Workplace, interrupter: Interrupter, loop: OwnLoop
    ) -> None:
        """`interrupter` and `loop` are those of the thread that is going to call `serve`."""
        self._slot = slot
        self._place = place
        self._interrupter = interrupter
        self._only_one = len(place.slots) == 1
        self._stage = Stage.TRAIN if place.is_train else Stage.CALL
        self._loop = loop
        self._stopping = False

    def serve(self, context: Context) -> None:
        """Run predictions, one after another, until `stop` or until the slot cannot be used.

        Args:
            context: what each prediction gets its own copy of.
        """
        try:
            while not (self._stopping or self._slot.poisoned):
                predict = self._next_request()
                if predict is None:
                    return
                self._serve_one(predict, context)
        except (RemoteProtocolError, OSError) as error:
            self._slot.poison(str(error))

    def cancel(self, prediction: str | None) -> None:
        """Interrupt what is meant. From another thread."""
        self._interrupter.request(prediction, self._slot.request_arrived)

    def interrupt(self) -> None:
        """Interrupt what runs, if anything does. From another thread."""
        self._interrupter.request(None, lambda: False)

    def stop(self) -> None:
        """Start nothing more, and stop waiting for a request. From another thread."""
        self._stopping = True
        self._slot.stop_reading()

    def _next_request(self) -> Predict | None:
        """Wait for a request. None: there will be none."""
        slot = self._slot
        while True:
            frame = slot.reader.next_frame_nowait() or self._wait_for_frame()
            if frame is None:
                return None
            predict = slot.decode(frame)
            if predict is not None:
                return predict
            self._interrupter.reading(request=False)

    def _wait_for_frame(self) -> memoryview | None:
        # Woken without reading: a `Cancel` that comes now must find the request either in the
        # socket or announced.
        if not self._slot.connection.recv(1, socket.MSG_PEEK) or self._stopping:
            return None
        self._interrupter.reading()
        return self._slot.reader.next_frame()

    def _serve_one(self, predict: Predict, context: Context) -> None:
        answer = Answer(
            self._slot,
            predict,
            self._stage,
            self._place.checkpoint,
            error_prefixes=self._place.options.error_prefixes,
        )
        outcome: Outcome = answer.cancelled()
        if self._interrupter.begin(predict.id):
            self._interrupter.finish()
        else:
            ended = context.copy().run(self._run, predict, answer)
            if not self._interrupter.finish():
                outcome = ended
            self._end_logs(answer)
        answer.end(outcome)
        self._refuse_what_came_meanwhile()
        self._slot.release()

    def _begin_logs(self, answer: Answer) -> None:
        self._place.router.set_current(answer.sink)
        if self._only_one:
            self._place.capture.begin(answer.sink)

    def _end_logs(self, answer: Answer) -> None:
        self._place.capture.end(answer.sink)

    def _run(self, predict: Predict, answer: Answer) -> Outcome:
        """Run the model; whatever it raises becomes a value here."""
        self._begin_logs(answer)
        try:
            inputs = prepared_inputs(
                self._place.predictor.signature,
                answer.raw_input(),
                self._place.options,
                folder=answer.folder,
                call=self._interrupter.call,
            )
            arguments = inputs.__enter__()
            try:
                with active_scope(answer.metric, predict.context, process_wide=self._only_one):
                    self._work(arguments, answer)
            finally:
                inputs.__exit__(None, None, None)
        except BaseException as error:
            if self._interrupter.cancelled and isinstance(error, asyncio.CancelledError):
                return answer.cancelled()
            if self._only_one:
                self._place.capture.catch_up()  # what C code said comes before the traceback
            return answer.outcome_of(error)
        return answer.done()

    def _work(self, arguments: dict[str, Any], answer: Answer) -> None:
        result = self._interrupter.call(self._place.predictor.call, **arguments)
        if inspect.isawaitable(result):
            result = self._loop.run(result)
        if hasattr(type(result), "__aiter__"):
            self._loop.run(self._send_async_items(result, answer))
            return
        items = stream_of(result)
        if items is not None:
            answer.is_stream = True
            # What is no iterator is there already, all of it.
            send = answer.output if items is result else answer.hold
            self._interrupter.call(self._send_items, items, send, answer)
        elif result is not None:
            self._interrupter.call(answer.hold, result)

    @enters_model
    def _send_items(
        self, items: Iterator[Any], send: Callable[[Any], None], answer: Answer
    ) -> None:
        answer.stage = Stage.ITERATION
        try:
            for item in items:
                exit_in_child()
                send(item)
                if self._interrupter.cancelled:
                    return  # it has swallowed the exception
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    async def _send_async_items(self, items: AsyncIterable[Any], answer: Answer) -> None:
        answer.is_stream = True
        answer.stage = Stage.ITERATION
        iterator = aiter(items)
        try:
            async for item in iterator:
                exit_in_child()
                answer.output(item)
                await asyncio.sleep(0)  # so that a cancel is heard between items
                # Not sooner: a cancel on its way would cut the generator's clean-up.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    return  # it has swallowed the exception
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()

    def _refuse_what_came_meanwhile(self) -> None:
        """Whoever sends a request before `idle` breaks the rules, but is told so."""
        slot = self._slot
        while (frame := slot.reader.next_frame_nowait()) is not None or slot.request_arrived():
            if frame is None:
                frame = slot.reader.next_frame()
            if frame is None:
                self._stopping = True
                return
            predict = slot.decode(frame)
            if predict is not None:
                slot.refuse(predict)
