"""One call of an async model, on any event loop: inputs, the call itself, outputs as they come."""

from __future__ import annotations

import inspect
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from worker.call_stack import enters_model
from worker.error_text import Stage
from worker.forked import exit_in_child
from worker.inputs import PreparedInputs
from worker.output_files import is_file
from worker.outputs import stream_of
from worker.scope import active_scope
from worker.sdk import CancelationException

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    from protocol.messages import Predict
    from worker.answer import Answer, Outcome
    from worker.engines.event_loop import EventLoop
    from worker.engines.interface import Workplace

__all__ = ["ModelCall"]

_TURN_EVERY: Final = 0.001
"""Seconds until a generator that awaits nothing has to let the others run."""


class ModelCall:
    """Calls the model for one request after another, in any number of slots.

    `threads` fetch inputs and copy files.
    """

    def __init__(self, place: Workplace, loop: EventLoop, threads: ThreadPoolExecutor) -> None:
        self._predictor = place.predictor
        self._options = place.options
        self._capture = place.capture
        self._only_one = len(place.slots) == 1
        self._loop = loop
        self._threads = threads

    async def run(
        self, predict: Predict, answer: Answer, told_to_stop: Callable[[], bool]
    ) -> Outcome:
        """Run the model; whatever it raises becomes a value here.

        `told_to_stop` answers whether the task was cancelled: a model may swallow that.
        """
        inputs = PreparedInputs(self._predictor.signature, self._options, folder=answer.folder)
        try:
            arguments = await self._open_inputs(inputs, predict, answer)
            with active_scope(answer.metric, predict.context, process_wide=self._only_one):
                await self._work(arguments, answer, told_to_stop)
        except BaseException as error:
            if told_to_stop() and self._loop.is_cancellation(error):
                return answer.cancelled()
            if self._only_one:
                self._capture.catch_up()  # what C code said comes before the traceback
            return answer.outcome_of(self._loop.reason_of(error), error)
        finally:
            inputs.close()  # which also ends a thread that still opens them
        return answer.done()

    async def _open_inputs(
        self, inputs: PreparedInputs, predict: Predict, answer: Answer
    ) -> dict[str, Any]:
        fields = self._predictor.signature.fields
        if predict.input_file is None and all(field.convert is None for field in fields):
            return inputs.open(answer.raw_input())
        opening = self._threads.submit(lambda: inputs.open(answer.raw_input()))
        return await self._loop.wait(opening)

    async def _work(
        self, arguments: dict[str, Any], answer: Answer, told_to_stop: Callable[[], bool]
    ) -> None:
        """Run the model's code; no child that it forks leaves this."""
        try:
            await self._call(arguments, answer, told_to_stop)
        except BaseException as error:
            exit_in_child(error)
            raise
        exit_in_child()

    @enters_model
    async def _call(
        self, arguments: dict[str, Any], answer: Answer, told_to_stop: Callable[[], bool]
    ) -> None:
        result = self._predictor.call(**arguments)
        if inspect.isawaitable(result):
            result = await result
        if hasattr(type(result), "__aiter__"):
            await self._send_async_items(result, answer, told_to_stop)
            return
        items = stream_of(result)
        if items is not None:
            ready = items is not result  # not an iterator: all of it is there already
            await self._send_items(items, answer, ready=ready)
        elif is_file(result):
            await self._hold_file(result, answer)
        elif result is not None:
            answer.hold(result)

    @enters_model
    async def _send_async_items(
        self, items: AsyncIterable[Any], answer: Answer, told_to_stop: Callable[[], bool]
    ) -> None:
        answer.is_stream = True
        iterator = aiter(items)
        try:
            turned = time.monotonic()
            async for item in iterator:
                exit_in_child()
                if is_file(item):
                    await self._hold_file(item, answer)
                else:
                    answer.hold(item)
                answer.send_held()
                if time.monotonic() - turned > _TURN_EVERY:
                    await self._loop.turn()
                    turned = time.monotonic()
                if told_to_stop():
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
            turned = time.monotonic()
            for item in items:
                exit_in_child()
                if is_file(item):
                    await self._hold_file(item, answer)
                else:
                    answer.hold(item)
                must_turn = time.monotonic() - turned > _TURN_EVERY
                if must_turn or not ready:
                    answer.send_held()
                if must_turn:
                    await self._loop.turn()
                    turned = time.monotonic()
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    async def _hold_file(self, item: Any, answer: Answer) -> None:
        """Have a file copied in a thread. A cancel waits until nothing is left of it."""
        stopped = threading.Event()

        def go_on() -> None:
            if stopped.is_set():
                raise CancelationException

        copying = self._threads.submit(copy_context().run, answer.file_message, item, go_on)
        try:
            message = await self._loop.wait(copying)
        except BaseException:
            stopped.set()
            await self._loop.wait_out(copying)
            raise
        answer.hold_message(message)
