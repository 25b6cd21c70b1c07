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
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from worker.cancellation import calling_frame, may_interrupt, stands_in_model
from worker.error_text import describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

__all__ = ["ModelSignals"]

_AGAIN_AFTER: Final = 0.01
"""Seconds until a handler that has to wait is tried again."""

_set_handler: Final = signal.signal
_get_handler: Final = signal.getsignal
_sleep: Final = time.sleep
"""The interpreter's own, whatever the model puts in their places."""


class ModelSignals:
    """Stands between the model and `signal.signal`.

    `on_error` is told what a handler has raised while no code of the model ran.
    """

    def __init__(self, on_error: Callable[[str], None]) -> None:
        self._on_error = on_error
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: set[int] = set()
        self._sent_again: set[int] = set()

    def install(self) -> None:
        """Take the place of `signal.signal` and `signal.getsignal`, for good."""
        for name, function in (("signal", self.signal), ("getsignal", self.getsignal)):
            setattr(signal, name, function)
        os.register_at_fork(after_in_child=self._waiting.clear)

    def signal(self, signalnum: Any, handler: Any, /) -> Any:
        """As `signal.signal`."""
        is_function = callable(handler) and not isinstance(handler, signal.Handlers)
        before = self.getsignal(signalnum)
        _set_handler(signalnum, self._run if is_function else handler)
        if is_function:
            self._handlers[int(signalnum)] = handler
        else:
            self._handlers.pop(int(signalnum), None)
        return before

    def getsignal(self, signalnum: Any, /) -> Any:
        """As `signal.getsignal`: the model's own handler, not ours around it."""
        handler = _get_handler(signalnum)
        return self._handlers.get(int(signalnum), handler) if handler == self._run else handler

    def checkpoint(self) -> None:
        """Run what has waited. Called at the end of what the model calls of ours."""
        if self._waiting and threading.current_thread() is threading.main_thread():
            frame = calling_frame()
            while self._waiting and may_interrupt(frame):
                number = self._waiting.pop()
                self._handlers[number](number, frame)

    def _run(self, number: int, frame: FrameType | None) -> None:
        if number in self._sent_again:
            self._sent_again.discard(number)
            if number not in self._waiting:
                return  # a checkpoint was faster
        self._waiting.discard(number)
        handler = self._handlers[number]
        if may_interrupt(frame):
            handler(number, frame)
        elif stands_in_model(frame):
            self._waiting.add(number)
            # Not `threading.Thread`: its locks may be what has been interrupted.
            _thread.start_new_thread(self._send_again, (number,))
        else:
            try:
                handler(number, frame)
            # A boundary: nobody is there whom this could reach.
            except BaseException as error:
                self._on_error(
                    f"the model's handler of signal {number} raised {describe(error)} while no "
                    "code of the model ran; ignored"
                )

    def _send_again(self, number: int) -> None:
        _sleep(_AGAIN_AFTER)
        if number in self._waiting:
            self._sent_again.add(number)
            with suppress(OSError):
                signal.pthread_kill(threading.main_thread().ident or 0, number)
