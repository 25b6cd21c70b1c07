"""The engine of predictors written for Trio: one `trio.run`, from set-up to the last prediction.

Trio comes from the model's environment, and is loaded here, by one function.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from worker.engines.async_engine import AsyncEngine
from worker.engines.event_loop import LoopMissing
from worker.engines.interface import TookTooLong

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Future

    import trio

    from worker.engines.event_loop import Task
    from worker.engines.interface import Workplace

__all__ = ["TrioEngine"]

_T = TypeVar("_T")


class TrioLoop:
    """A Trio run as the slots see it; see `EventLoop`."""

    def __init__(self) -> None:
        self.trio = _load_trio()
        self.token: trio.lowlevel.TrioToken | None = None
        """Of the run; None until it has begun."""
        self.nursery: trio.Nursery | None = None
        """Of all that the slots start; None until the model is set up, and when all has ended."""

    def soon(self, function: Callable[[], object]) -> None:
        """See `EventLoop`."""
        if self.token is not None:
            try:
                self.token.run_sync_soon(function)
            except self.trio.RunFinishedError:
                return  # nothing is left to be done

    def later(self, delay: float, function: Callable[[], object]) -> None:
        """See `EventLoop`."""
        self._spawn(self._call_later, delay, function)

    async def _call_later(self, delay: float, function: Callable[[], object]) -> None:
        await self.trio.sleep(delay)
        function()

    def on_readable(
        self, connection: socket.socket, read: Callable[[], object]
    ) -> Callable[[], object]:
        """See `EventLoop`."""
        scope: trio.CancelScope = self.trio.CancelScope()
        self._spawn(self._read_on, scope, connection, read)
        return scope.cancel

    async def _read_on(
        self, scope: trio.CancelScope, connection: socket.socket, read: Callable[[], object]
    ) -> None:
        with scope:
            await self.trio.lowlevel.wait_readable(connection)
            # Both may come in the same turn, and then this one is not cancelled any more.
            while not scope.cancel_called:
                read()
                await self.trio.lowlevel.wait_readable(connection)

    def start(
        self, work: Coroutine[Any, Any, None], never_began: Callable[[BaseException], object]
    ) -> Task:
        """See `EventLoop`. On Trio a task that was cancelled makes its first step all the same."""
        scope: trio.CancelScope = self.trio.CancelScope()
        self._spawn(self._run_in, scope, work)
        return scope

    async def _run_in(self, scope: trio.CancelScope, work: Coroutine[Any, Any, None]) -> None:
        with scope:
            await work

    def turn(self) -> Awaitable[None]:
        """See `EventLoop`."""
        turned: Awaitable[None] = self.trio.lowlevel.checkpoint()
        return turned

    async def wait(self, future: Future[_T]) -> _T:
        """See `EventLoop`."""
        done = self.trio.Event()
        future.add_done_callback(lambda _: self.soon(done.set))
        await done.wait()
        return future.result()

    async def wait_out(self, future: Future[Any]) -> None:
        """See `EventLoop`."""
        done = self.trio.Event()
        future.add_done_callback(lambda _: self.soon(done.set))
        with self.trio.CancelScope(shield=True):
            await done.wait()

    def reason_of(self, error: BaseException) -> BaseException:
        """See `EventLoop`. A nursery makes a group also of the one thing that was raised in it."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            (error,) = error.exceptions
        return error

    def is_cancellation(self, error: BaseException) -> bool:
        """See `EventLoop`."""
        if isinstance(error, BaseExceptionGroup):  # out of nurseries of the model
            return all(map(self.is_cancellation, error.exceptions))
        return isinstance(error, self.trio.Cancelled)

    def _spawn(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        if self.nursery is not None:
            self.nursery.start_soon(function, *args)


class TrioEngine(AsyncEngine):
    """Runs an async predictor in one Trio run: set-up, predictions and healthchecks.

    Trio leaves SIGINT alone, because our own handler of it is there before.
    """

    def __init__(self, place: Workplace) -> None:
        """Load Trio.

        Raises:
            LoopMissing: it is not installed.
        """
        self._setup = place.predictor.setup
        self._teardown = place.predictor.teardown
        self._interrupter = place.interrupter
        self._warn = place.warn
        self._trio_loop = TrioLoop()
        self._trio = self._trio_loop.trio
        self._life = self._trio.CancelScope()
        """All of it, because a nursery that set-up leaves open has to lie inside."""
        self._stopping = self._is_set_up = self._left_open = False
        self._setup_error: BaseException | None = None
        self._teardown_error: BaseException | None = None
        super().__init__(place, self._trio_loop, "call what blocks by trio.to_thread.run_sync")

    def run(self, ready: Callable[[], bool]) -> None:
        """See `Engine`."""
        try:
            self._trio.run(self._main, ready)
        except RuntimeError:
            if not self._left_open:
                raise
            self._warn(
                "set-up has left a nursery open that nothing has closed; its tasks were cancelled"
            )
        if self._setup_error is not None:
            raise self._setup_error  # from here: its traceback is to have no frames of Trio's

    def tear_down(self) -> None:
        """See `Engine`. It was run within the Trio run, by `run`; what it has raised is raised."""
        if self._teardown_error is not None:
            raise self._teardown_error

    def stop(self, grace: float | None) -> None:
        """See `Engine`."""
        self._stopping = True
        super().stop(grace)

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck in the run of the predictions."""
        return self._trio.from_thread.run(
            self._bounded, awaitable, limit, trio_token=self._trio_loop.token
        )

    async def _bounded(self, awaitable: Awaitable[Any], limit: float) -> Any:
        with self._trio.move_on_after(limit):
            return await awaitable
        raise TookTooLong

    async def _main(self, ready: Callable[[], bool]) -> None:
        self._trio_loop.token = self._trio.lowlevel.current_trio_token()
        with self._life:
            if self._stopping:
                return
            self._setup_error = await self._outcome(self._setup)
            if self._setup_error is not None:
                return
            self._is_set_up = True
            if ready():
                await self._serve()
            self._teardown_error = await self._outcome(self._teardown)
            # Trio ends their tasks as it should, and then raises.
            self._left_open = bool(self._trio.lowlevel.current_task().child_nurseries)

    async def _serve(self) -> None:
        async with self._trio.open_nursery() as nursery:
            self._trio_loop.nursery = nursery
            self._open_seats()
        self._trio_loop.nursery = None
        self._close_seats()

    async def _outcome(self, function: Callable[[], Any] | None) -> BaseException | None:
        """Run the model's set-up or teardown to its end; what it has raised."""
        try:
            if function is not None:
                answer = self._interrupter.call(function)
                if inspect.isawaitable(answer):
                    await answer
        except self._trio.Cancelled:
            raise
        # The boundary of the model: what it raises is told to whoever has called `run`.
        except BaseException as error:
            return error
        return None

    def _stop(self, grace: float | None) -> None:
        if self._trio_loop.nursery is not None:
            super()._stop(grace)
        elif not self._is_set_up:
            self._life.cancel()  # not teardown: that is left alone

    def _over(self) -> None:
        if self._trio_loop.nursery is not None:
            self._trio_loop.nursery.cancel_scope.cancel()


def _load_trio() -> Any:
    try:
        return import_module("trio")
    except ImportError as error:
        raise LoopMissing(
            "--event-loop trio needs trio in the model's environment: pip install trio"
        ) from error
