"""An event loop for what a sync function leaves to be awaited: it hides a coroutine, or sets up so.

It turns only while something is waited for. It is kept from one time to the next, because what was
opened on it may still be in use.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from worker.call_stack import enters_model
from worker.engines.leftovers import cancel_and_wait, end_leftovers
from worker.engines.outcome import outcome_of, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from worker.engines.outcome import Outcome
    from worker.interrupter import Interrupter

__all__ = ["OwnLoop"]


class OwnLoop:
    """The loop of one thread; made when it is needed first."""

    def __init__(self, interrupter: Interrupter, cancel_grace: float) -> None:
        """`interrupter` is that of the thread; `cancel_grace` is in seconds."""
        self._interrupter = interrupter
        self._grace = cancel_grace
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for what a prediction has answered. A `Cancel` is `task.cancel()`.

        Raises:
            BaseException: what the model raises; `CancelledError` too.
        """
        loop, task = self._start(awaitable)
        with self._interrupter.cancelling_by(self._cancel_of(loop, task)):
            return self._finish(loop, task)

    def run_interruptibly(self, awaitable: Awaitable[Any], context: Context) -> Any:
        """As `run`, but in `context` itself, and interrupted by an exception wherever it blocks."""
        return self._interrupter.call(self._finish, *self._start(awaitable, context))

    def close(self) -> None:
        """End what was left behind, and the loop. From any thread, when nothing runs on it.

        Raises:
            SystemExit, KeyboardInterrupt: what was left behind raised it.
        """
        loop = self._loop
        if loop is None:
            return
        try:
            end_leftovers(loop)
        finally:
            loop.close()

    def _start(
        self, awaitable: Awaitable[Any], context: Context | None = None
    ) -> tuple[asyncio.AbstractEventLoop, asyncio.Task[Outcome]]:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop, self._loop.create_task(outcome_of(awaitable), context=context)

    @enters_model
    def _finish(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Outcome]) -> Any:
        try:
            outcome = loop.run_until_complete(task)
        except BaseException:
            # Not what the task has raised: a signal handler, or `sys.exit()` in another task.
            if not task.done():
                cancel_and_wait(loop, {task})
            raise
        return result_of(outcome)

    def _cancel_of(
        self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Outcome]
    ) -> Callable[[], None]:
        """What may be called any number of times: cancels once, and again after each grace."""
        again_at = float("-inf")

        def cancel() -> None:
            nonlocal again_at
            if time.monotonic() >= again_at:
                again_at = time.monotonic() + self._grace
                loop.call_soon_threadsafe(task.cancel)

        return cancel
