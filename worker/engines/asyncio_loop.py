"""The engine of predictors written for asyncio; its loop may be uvloop's."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import traceback
from concurrent.futures import wait
from contextvars import Context
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from worker.engines.async_engine import AsyncEngine
from worker.engines.event_loop import LoopMissing
from worker.engines.interface import TookTooLong
from worker.engines.leftovers import end_leftovers
from worker.engines.outcome import outcome_of, result_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Future

    from worker.engines.interface import Workplace

__all__ = ["AsyncioEngine"]

_T = TypeVar("_T")


class AsyncioLoop:
    """An asyncio loop as the slots see it; see `EventLoop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def soon(self, function: Callable[[], object]) -> None:
        """See `EventLoop`."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return  # the loop is closed: nothing is left to be done

    def later(self, delay: float, function: Callable[[], object]) -> None:
        """See `EventLoop`."""
        self._loop.call_later(delay, function)

    def on_readable(
        self, connection: socket.socket, read: Callable[[], object]
    ) -> Callable[[], object]:
        """See `EventLoop`."""
        self._loop.add_reader(connection, read)
        connection.setblocking(True)  # uvloop changes it, and whoever writes to it has to wait
        return lambda: self._loop.remove_reader(connection)

    def start(
        self, work: Coroutine[Any, Any, None], never_began: Callable[[BaseException], object]
    ) -> asyncio.Task[None]:
        """See `EventLoop`."""

        def look(done: asyncio.Task[None]) -> None:
            # Work that has begun catches that.
            if done.cancelled():
                never_began(asyncio.CancelledError())

        # Not by the loop: a task factory of the model's may begin the work at once.
        task = asyncio.Task(work, loop=self._loop)
        task.add_done_callback(look)
        return task

    def turn(self) -> Awaitable[None]:
        """See `EventLoop`."""
        return asyncio.sleep(0)

    async def wait(self, future: Future[_T]) -> _T:
        """See `EventLoop`."""
        return await asyncio.wrap_future(future)

    async def wait_out(self, future: Future[Any]) -> None:
        """See `EventLoop`."""
        await asyncio.gather(asyncio.wrap_future(future), return_exceptions=True)

    def reason_of(self, error: BaseException) -> BaseException:
        """See `EventLoop`."""
        return error

    def is_cancellation(self, error: BaseException) -> bool:
        """See `EventLoop`."""
        return isinstance(error, asyncio.CancelledError)


class AsyncioEngine(AsyncEngine):
    """Runs an async predictor on one asyncio loop: set-up, predictions and healthchecks."""

    def __init__(self, place: Workplace) -> None:
        """Make the loop.

        Raises:
            LoopMissing: it is to be uvloop's, and that is not installed.
        """
        self._setup = place.predictor.setup
        self._teardown = place.predictor.teardown
        self._interrupter = place.interrupter
        self._asyncio_loop = _new_loop(place.options.event_loop)
        self._asyncio_loop.set_exception_handler(_log_for_the_owner)
        asyncio.set_event_loop(self._asyncio_loop)
        self._serving = False
        super().__init__(
            place, AsyncioLoop(self._asyncio_loop), "call what blocks by asyncio.to_thread"
        )

    def run(self, ready: Callable[[], bool]) -> None:
        """See `Engine`."""
        if self._setup is not None:
            self._run_model(self._setup)
        if ready():
            self._serve()

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck on the loop of the predictions."""
        checked = asyncio.run_coroutine_threadsafe(outcome_of(awaitable, limit), self._asyncio_loop)
        if not wait([checked], limit).done:
            raise TookTooLong  # something blocks the loop
        return result_of(checked.result())

    def tear_down(self) -> None:
        """See `Engine`."""
        try:
            if self._teardown is not None:
                self._run_model(self._teardown)
        finally:
            self._turn(lambda: end_leftovers(self._asyncio_loop))
            self._asyncio_loop.close()

    def _run_model(self, function: Callable[[], Any]) -> None:
        """Run set-up or teardown to its end, an async one on the loop of the predictions."""
        answer = self._interrupter.call(function)
        if inspect.isawaitable(answer):
            waiting = asyncio.ensure_future(answer, loop=self._asyncio_loop)
            self._interrupter.call(self._asyncio_loop.run_until_complete, waiting)

    def _serve(self) -> None:
        self._serving = True
        self._open_seats()
        while self._serving:
            self._turn(self._asyncio_loop.run_forever)
        self._close_seats()

    def _over(self) -> None:
        if self._serving:
            self._serving = False
            self._asyncio_loop.stop()

    def _turn(self, turn: Callable[[], object]) -> None:
        """Let the loop run. `sys.exit()` in a task of the model's own comes out of it here."""
        try:
            turn()
        except (SystemExit, KeyboardInterrupt) as error:
            text = "".join(traceback.format_exception_only(error)).strip()
            sys.stderr.write(f"{text}: raised in a background task of the model, and ignored\n")


def _log_for_the_owner(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong in the background as asyncio does, but for the prediction that began it.

    That a task failed and nobody looked is told when it is collected: in the middle of whatever
    runs then, often another prediction.
    """
    for name in ("task", "future", "handle"):
        origin = context.get(name)
        if origin is not None:
            # A copy can be entered also where the task shares the context of whoever runs.
            _context_of(origin).copy().run(loop.default_exception_handler, context)
            return
    loop.default_exception_handler(context)


def _context_of(origin: Any) -> Context:
    """The context in which a task or a callback runs; an empty one, if that is unknown.

    A future has none, but for those that wait for it.
    """
    if hasattr(origin, "get_context"):
        known: Context = origin.get_context()
        return known
    # Until Python 3.12, and in uvloop, they do not tell; the garbage collector knows.
    referents = gc.get_referents(origin)
    return next((each for each in referents if isinstance(each, Context)), Context())


def _new_loop(kind: str) -> asyncio.AbstractEventLoop:
    if kind != "uvloop":
        # Made after the model was loaded, which may have set the policy.
        return asyncio.new_event_loop()
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError as error:
        raise LoopMissing(
            "--event-loop uvloop needs uvloop in the model's environment: pip install uvloop"
        ) from error
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
