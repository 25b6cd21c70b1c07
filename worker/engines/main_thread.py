"""The engine of sync predictors: the main thread reads a request, runs it and writes the answer.

One slot, no thread hop. `Cancel` comes in on another thread and interrupts this one by a signal.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import RemoteProtocolError
from worker.answer import Answer
from worker.error_text import Stage
from worker.forked import exit_in_child
from worker.inputs import prepared_inputs
from worker.outputs import stream_of
from worker.scope import active_scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from protocol.messages import Predict
    from worker.answer import Outcome
    from worker.engines.interface import Workplace

__all__ = ["MainThreadEngine"]

_END: Final = object()


class MainThreadEngine:
    """Runs a sync predictor in the only slot, on the main thread."""

    def __init__(self, place: Workplace) -> None:
        self._predictor = place.predictor
        (self._slot,) = place.slots
        self._capture = place.capture
        self._interrupter = place.interrupter
        self._checkpoint = place.checkpoint
        self._options = place.options
        self._stage = Stage.TRAIN if place.is_train else Stage.CALL
        self._stopping = False
        self._setup_loop: asyncio.AbstractEventLoop | None = None

    def run(self, ready: Callable[[], bool]) -> None:
        """See `Engine`."""
        self.set_up()
        if ready():
            self.serve()

    def set_up(self) -> None:
        """Run the model's set-up to its end; an async one on a loop that then stands still."""
        if self._predictor.setup is None:
            return
        answer = self._interrupter.call(self._predictor.setup)
        if inspect.isawaitable(answer):
            # Not closed: what set-up has opened on it may still be in use.
            loop = self._setup_loop = asyncio.new_event_loop()
            waiting = asyncio.ensure_future(answer, loop=loop)
            self._interrupter.call(loop.run_until_complete, waiting)

    def serve(self) -> None:
        """Run predictions, one after another."""
        try:
            while not (self._stopping or self._slot.poisoned):
                predict = self._next_request()
                if predict is None:
                    return
                self._serve_one(predict)
        except (RemoteProtocolError, OSError) as error:
            self._slot.poison(str(error))

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Interrupt the main thread, if it runs what is meant."""
        if slot == self._slot.id:
            self._interrupter.request(prediction, self._slot.request_arrived)

    def stop(self, grace: float | None) -> None:
        """Wake the main thread if it waits for a request."""
        self._stopping = True
        if grace is not None:
            timer = threading.Timer(grace, self._interrupter.request, (None, lambda: False))
            timer.daemon = True
            timer.start()
        self._slot.stop_reading()

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck, on a loop of its own."""
        return asyncio.run(asyncio.wait_for(awaitable, limit))

    def loop_idle(self) -> float | None:
        """There is no loop."""
        return None

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

    def _serve_one(self, predict: Predict) -> None:
        answer = Answer(
            self._slot,
            predict,
            self._stage,
            self._checkpoint,
            error_prefixes=self._options.error_prefixes,
        )
        outcome: Outcome = answer.cancelled()
        if self._interrupter.begin(predict.id):
            self._interrupter.finish()
        else:
            self._capture.begin(answer.sink)
            ended = self._run(predict, answer)
            exit_in_child()
            if not self._interrupter.finish():
                outcome = ended
            self._capture.end(answer.sink)
        answer.end(outcome)
        self._refuse_what_came_meanwhile()
        self._slot.release()

    def _run(self, predict: Predict, answer: Answer) -> Outcome:
        """Run the model; whatever it raises becomes a value here."""
        try:
            inputs = prepared_inputs(
                self._predictor.signature,
                answer.raw_input(),
                self._options,
                folder=answer.folder,
            )
            arguments = self._interrupter.call(inputs.__enter__)
            try:
                with active_scope(answer.metric, predict.context, process_wide=True):
                    result = self._interrupter.call(self._predictor.call, **arguments)
                    exit_in_child()
                    self._send_result(result, answer)
            finally:
                inputs.__exit__(None, None, None)
        except BaseException as error:
            self._capture.catch_up()  # what C code said before comes before the traceback
            return answer.outcome_of(error)
        return answer.done()

    def _send_result(self, result: Any, answer: Answer) -> None:
        items = stream_of(result)
        if items is not None:
            answer.is_stream = True
            self._send_items(
                items, answer.hold if isinstance(result, list | tuple) else answer.output, answer
            )
        elif result is not None:
            self._interrupter.call(answer.hold, result)

    def _send_items(
        self, items: Iterator[Any], send: Callable[[Any], None], answer: Answer
    ) -> None:
        call = self._interrupter.call
        answer.stage = Stage.ITERATION
        try:
            while (item := call(next, items, _END)) is not _END:
                call(send, item)
                if self._interrupter.cancelled:
                    return
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                call(close)

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
