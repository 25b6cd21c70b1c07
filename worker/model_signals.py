"""Signal handlers that the model installs: they run where an exception of theirs does no harm.

Python runs a handler between any two steps of the main thread, and some raise: a `TimeoutError`
after `signal.alarm`. In the middle of a frame that would be the end of a channel, and between two
predictions the end of the worker. So a handler waits until the model's own code runs again; where
none does, it runs at once, and what it raises is logged.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from time import sleep  # by name: the interpreter's own, whatever the model puts in its place
from typing import TYPE_CHECKING, Any, Final

from worker.call_stack import calling_frame, enters_model, may_interrupt, stands_in_model
from worker.engines.loop_watch import blocking_place
from worker.error_text import describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Handler = Callable[[int, FrameType | None], Any]

__all__ = ["ModelSignals"]

_AGAIN_AFTER: Final = 0.01
"""Seconds until a handler that has to wait is tried again."""

_set_handler: Final = signal.signal
_get_handler: Final = signal.getsignal
"""The interpreter's own, whatever the model puts in their places."""


class ModelSignals:
    """Stands between the model and `signal.signal`.

    Args:
        wake: interrupts the main thread so that it calls `run_waiting`. From any thread.
        on_error: is told what a handler has raised while no code of the model ran.
    """

    def __init__(self, wake: Callable[[], None], on_error: Callable[[str], None]) -> None:
        self._wake = wake
        self._on_error = on_error
        self._handlers: dict[int, Handler] = {}
        self.waiting: dict[int, Handler] = {}
        """What waits for a checkpoint, by number: as in the kernel, a second one is the same."""
        # Entered again by a handler that interrupts it; the other user lets it go at once.
        self._lock = threading.RLock()
        self._waker_runs = False

    def install(self) -> None:
        """Take the place of `signal.signal` and `signal.getsignal`, for good."""
        for name, function in (("signal", self.signal), ("getsignal", self.getsignal)):
            setattr(signal, name, function)
        os.register_at_fork(after_in_child=self._begin_anew)

    def signal(self, signalnum: Any, handler: Any) -> Any:
        """As `signal.signal`. What came before is for the handler that there was."""
        self.checkpoint()
        before = self.getsignal(signalnum)
        if not callable(handler) or isinstance(handler, signal.Handlers):
            _set_handler(signalnum, handler)
            self._handlers.pop(int(signalnum), None)
            return before
        known = self._handlers.get(int(signalnum))
        self._handlers[int(signalnum)] = handler
        try:
            _set_handler(signalnum, self._run)
        except BaseException:
            if known is None:
                del self._handlers[int(signalnum)]
            else:
                self._handlers[int(signalnum)] = known
            raise
        return before

    def getsignal(self, signalnum: Any) -> Any:
        """As `signal.getsignal`: the model's own handler, not ours around it."""
        handler = _get_handler(signalnum)
        return self._handlers.get(int(signalnum), handler) if handler == self._run else handler

    def checkpoint(self) -> None:
        """Run what has waited. Called at the end of what the model calls of ours."""
        if self.waiting and threading.current_thread() is threading.main_thread():
            self.run_waiting(calling_frame())

    def run_waiting(self, frame: FrameType | None) -> None:
        """Run what has waited, if it may at `frame`, where the main thread stands."""
        while self.waiting and (_may_raise(frame) or not stands_in_model(frame)):
            number, handler = self.waiting.popitem()
            self._run_now(number, handler, frame)

    def _run(self, number: int, frame: FrameType | None) -> None:
        handler = self._handlers.get(number)
        if handler is None:
            return  # it was taken away a moment ago
        if _may_raise(frame) or not stands_in_model(frame):
            self._run_now(number, handler, frame)
        else:
            self.waiting.setdefault(number, handler)
            self._start_waker()

    def _run_now(self, number: int, handler: Handler, frame: FrameType | None) -> None:
        if _may_raise(frame):
            _call(handler, number, frame)
            return
        try:
            handler(number, frame)
        # A boundary: nobody is there whom this could reach.
        except BaseException as error:
            self._on_error(
                f"the model's handler of signal {number} raised {describe(error)} while no code "
                "of the model ran; ignored"
            )

    def _start_waker(self) -> None:
        with self._lock:
            if self._waker_runs:
                return
            self._waker_runs = True
        try:
            # Not `threading.Thread`: its locks may be what has been interrupted.
            _thread.start_new_thread(self._wake_until_run, ())
        except RuntimeError:
            self._waker_runs = False  # no more threads: the next checkpoint runs it

    def _wake_until_run(self) -> None:
        while True:
            sleep(_AGAIN_AFTER)
            with self._lock:
                if not self.waiting:
                    self._waker_runs = False
                    return
            self._wake()

    def _begin_anew(self) -> None:
        """In a forked child: signals that wait are the parent's, and so is the thread."""
        self._lock = threading.RLock()
        self.waiting.clear()
        self._waker_runs = False


def _may_raise(frame: FrameType | None) -> bool:
    """Whether code of the model runs at `frame`: in a prediction, or in a task of its own."""
    return may_interrupt(frame) or blocking_place(frame) is not None


@enters_model
def _call(handler: Handler, number: int, frame: FrameType | None) -> None:
    handler(number, frame)
