"""What the slots of an async predictor ask of the event loop that they are on, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Coroutine
    from concurrent.futures import Future

__all__ = ["EventLoop", "LoopMissing", "Task"]

_T = TypeVar("_T")


class LoopMissing(Exception):
    """The model's environment does not have the event loop; the text says what to install."""


class Task(Protocol):
    """What runs one prediction."""

    def cancel(self) -> object:
        """Cancel it, in this loop's own way.

        On asyncio it raises once, and once more each time. On Trio all that waits raises from now
        on, unless the model has shielded it; another call changes nothing.
        """


class EventLoop(Protocol):
    """One event loop on the main thread. Used on that thread, except `soon`."""

    def soon(self, function: Callable[[], object]) -> None:
        """Have the loop call `function`; never, if it has ended. From any thread."""

    def later(self, delay: float, function: Callable[[], object]) -> None:
        """Call `function` in so many seconds, unless the loop has ended before."""

    def on_readable(
        self, connection: socket.socket, read: Callable[[], object]
    ) -> Callable[[], object]:
        """Call `read` whenever something, or the end, can be read. Returns what ends that."""

    def start(
        self, work: Coroutine[Any, Any, None], never_began: Callable[[BaseException], object]
    ) -> Task:
        """Run `work` as a task of its own, which begins at the next turn of the loop.

        It has to catch all that is raised in it. `never_began` is called in its place, with what
        the loop raises then, if it was cancelled before its first step.
        """

    def turn(self) -> Awaitable[None]:
        """Let the others run; here a cancel may arrive."""

    async def wait(self, future: Future[_T]) -> _T:
        """Wait for what a thread does. A cancel ends the waiting, and not what the thread does."""

    async def wait_out(self, future: Future[Any]) -> None:
        """Wait until a thread is done, also in what was cancelled already. Raises nothing of it."""

    def reason_of(self, error: BaseException) -> BaseException:
        """What clients are told of `error`; another one if the loop has only wrapped that."""

    def is_cancellation(self, error: BaseException) -> bool:
        """Whether `error` is what the loop raises in what was cancelled."""
