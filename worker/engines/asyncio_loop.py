"""The engine of async predictors: all slots on one asyncio loop, on the main thread."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from worker.engines.asyncio_seat import Seat
from worker.engines.loop_watch import LoopWatch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.engines.interface import Workplace

__all__ = ["AsyncioEngine"]

_FILE_THREADS: Final = 32
"""Threads that fetch inputs and copy outputs; they start when they are needed."""

_LEFTOVERS: Final = 1.0
"""Seconds that the model's own background tasks have to end when the worker ends."""


class AsyncioEngine:
    """Runs an async predictor in any number of slots."""

    def __init__(self, place: Workplace) -> None:
        self._setup = place.predictor.setup
        self._interrupter = place.interrupter
        # Made after the model was loaded, which may have set the policy (uvloop).
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._threads = ThreadPoolExecutor(_FILE_THREADS, "coglet-files")
        self._watch = LoopWatch(
            self._on_loop,
            place.options.block_warning,
            place.warn,
            "call what blocks by asyncio.to_thread",
        )
        self._seats = {
            slot.id: Seat(slot, place, self._loop, self._threads, self._watch, self._check_end)
            for slot in place.slots
        }
        self._ended = False

    def set_up(self) -> None:
        """Run the model's set-up to its end, an async one on the loop of the predictions."""
        if self._setup is not None:
            answer = self._interrupter.call(self._setup)
            if inspect.isawaitable(answer):
                waiting = asyncio.ensure_future(answer, loop=self._loop)
                self._interrupter.call(self._loop.run_until_complete, waiting)

    def serve(self) -> None:
        """Turn the loop until nothing is left to do."""
        for seat in self._seats.values():
            seat.open()
        self._watch.start()
        while not self._ended:
            self._turn(self._loop.run_forever)
        self._watch.stop()
        self._turn(self._end_leftovers)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._loop.close()

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Note what is meant to stop, and have the loop cancel it."""
        seat = self._seats.get(slot)
        if seat is not None and seat.cancel(prediction):
            self._on_loop(seat.stop_task)

    def stop(self, grace: float | None) -> None:
        """Have the loop start nothing more, and end."""
        self._on_loop(self._stop, grace)

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck on the loop of the predictions."""
        checked = asyncio.run_coroutine_threadsafe(_outcome(awaitable, limit), self._loop)
        answer, error = checked.result(limit)
        if error is not None:
            raise error
        return answer

    def loop_idle(self) -> float | None:
        """Seconds that the loop has owed an answer."""
        return self._watch.idle()

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop is closed: nothing is left to be done

    def _stop(self, grace: float | None) -> None:
        for seat in self._seats.values():
            seat.close()
            if grace is not None:
                self._loop.call_later(grace, seat.cancel_now)
        self._check_end()

    def _check_end(self) -> None:
        if all(seat.is_over for seat in self._seats.values()):
            self._ended = True
            self._loop.stop()

    def _turn(self, turn: Callable[[], object]) -> None:
        """Let the loop run. `sys.exit()` in a task of the model's own comes out of it here."""
        try:
            turn()
        except (SystemExit, KeyboardInterrupt) as error:
            text = "".join(traceback.format_exception_only(error)).strip()
            sys.stderr.write(f"{text}: raised in a background task of the model, and ignored\n")

    def _end_leftovers(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=_LEFTOVERS))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


async def _outcome(
    awaitable: Awaitable[Any], limit: float
) -> tuple[Any, None] | tuple[None, BaseException]:
    """What comes of `awaitable`. As a value: `SystemExit` in a task would stop the loop."""
    try:
        async with asyncio.timeout(limit):
            return await awaitable, None
    except BaseException as error:
        return None, error
