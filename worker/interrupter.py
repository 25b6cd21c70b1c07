"""From a `Cancel` to an exception in the prediction that it means.

An `Interrupter` serves one thread, which runs one prediction after another; how the exception gets
there is a matter of the thread. In the main thread a real-time signal raises it, whose handler
looks where the thread is before it does.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback
from abc import ABC, abstractmethod
from contextlib import contextmanager
from time import sleep  # by name: the interpreter's own, whatever the model puts in its place
from typing import TYPE_CHECKING, Any, Final

from worker.call_stack import call_model, calling_frame, may_interrupt
from worker.sdk import CancelationException
from worker.slot_cancels import SlotCancels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = ["INTERRUPT", "RAISE_EVERY", "Interrupter", "SignalInterrupter"]

INTERRUPT: Final = signal.SIGRTMIN + 7
"""Models install handlers of their own, but hardly for this one."""

_REPEAT_EVERY: Final = 0.05
"""Seconds. Once is not enough: an exception in a finaliser is printed and dropped."""

RAISE_EVERY: Final = 0.5
"""Seconds until the next exception, if the model goes on as if there had been none."""

_WARN_AFTER: Final = 1.0
"""Seconds after which it is said where a thread stands that was interrupted and goes on."""


class Interrupter(ABC):
    """Interrupts the prediction that runs on one thread.

    That thread calls `reading`, `begin`, `call` and `finish`; any other one `request`.
    """

    def __init__(
        self,
        warn: Callable[[str], None],
        thread: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`warn` is told what does not stop; `thread` is the identity of the thread.

        `clock` tells the seconds.
        """
        self._warn = warn
        self._clock = clock
        self._thread = thread
        self._lock = threading.Lock()
        self._cancels = SlotCancels()
        self._run = 0
        self._raised_at = float("-inf")
        self._armed = False
        self._cancel: Callable[[], None] | None = None
        self.patience = 4.0
        """Seconds that a model's `finally` and `except` have before they are interrupted, too."""

    def reading(self, *, request: bool = True) -> None:
        """A request has begun to arrive; or what came was none."""
        with self._lock:
            self._cancels.reading(request=request)

    def begin(self, prediction: str) -> bool:
        """`prediction` was read. True: it is cancelled already."""
        with self._lock:
            self._run += 1
            self._raised_at = float("-inf")
            return self._cancels.begin(prediction)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be interrupted.

        Raises:
            CancelationException: the running prediction was told to stop.
            BaseException: what `function` raises.
        """
        self._armed = True
        try:
            return call_model(function, args, kwargs)
        finally:
            self._armed = False

    @contextmanager
    def cancelling_by(self, cancel: Callable[[], None]) -> Iterator[None]:
        """In this block `cancel` is called in the place of an exception; again and again."""
        with self._lock:
            self._cancel = cancel
        try:
            yield
        finally:
            with self._lock:
                self._cancel = None

    def finish(self) -> bool:
        """It has ended; from here on nothing interrupts it. True: it was told to stop."""
        with self._lock:
            self._run += 1
            return self._cancels.finish()

    @property
    def cancelled(self) -> bool:
        """Whether the running prediction is to stop."""
        return self._cancels.cancelled

    def request(self, prediction: str | None, arrived: Callable[[], bool]) -> None:
        """A `Cancel` came (see `SlotCancels.request`): interrupt what runs if it is meant."""
        with self._lock:
            known = self._cancels.cancelled
            if not self._cancels.request(prediction, arrived) or known:
                return
            run = self._run
        if self._interrupt_if(run):
            threading.Thread(
                target=self._repeat, args=(run,), name="coglet-cancel", daemon=True
            ).start()

    def _repeat(self, run: int) -> None:
        warn_at = self._clock() + _WARN_AFTER
        while True:
            sleep(_REPEAT_EVERY)
            if not self._interrupt_if(run):
                return
            if self._clock() >= warn_at:
                warn_at = float("inf")
                self._warn_of(run)

    def _warn_of(self, run: int) -> None:
        with self._lock:
            name = self._cancels.running
            frame = sys._current_frames().get(self._thread)
            if run != self._run or frame is None:
                return
            place = traceback.StackSummary.extract(((frame, frame.f_lineno),))[0]
        self._warn(
            f"{name!r} was told to stop {_WARN_AFTER:g} s ago and still runs: "
            f'File "{place.filename}", line {place.lineno}, in {place.name}: {place.line}'
        )

    def _interrupt_if(self, run: int) -> bool:
        """Interrupt if `run` is still running. The lock is what `finish` waits for."""
        with self._lock:
            if run != self._run:
                return False
            (self._cancel or self._interrupt)()
            return True

    @abstractmethod
    def _interrupt(self) -> None:
        """Have an exception raised in the thread, if it may be now. Called again and again."""

    def _is_due(self) -> bool:
        """Whether an exception is to be raised now; True is the answer once in a while only.

        One that was dropped, in a finaliser or by an `except` that goes on, is followed by another
        soon. A model that cleans up because of it is left alone.
        """
        now = self._clock()
        if not (self._armed and self.cancelled) or now - self._raised_at < RAISE_EVERY:
            return False
        if now - self._raised_at < self.patience and _handles_cancel(self._thread):
            return False
        self._raised_at = now
        return True


def _handles_cancel(thread: int) -> bool:
    """Whether a thread stands in an `except` or `finally` that a cancel has brought it to."""
    # Up to Python 3.11 it is what `sys.exc_info` says, from 3.12 on what `sys.exception` does.
    found: Any = sys._current_exceptions().get(thread)
    error = found[1] if isinstance(found, tuple) else found
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, CancelationException):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


class SignalInterrupter(Interrupter):
    """Interrupts the main thread, also where it waits in the kernel."""

    def __init__(
        self,
        warn: Callable[[str], None],
        on_wake: Callable[[FrameType | None], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_wake` is called on the main thread after each signal, with where it stands."""
        super().__init__(warn, threading.main_thread().ident or 0, clock=clock)
        self._on_wake = on_wake

    def wake(self) -> None:
        """Interrupt the main thread, whatever it does. From any thread."""
        if signal.getsignal(INTERRUPT) == self._handle:
            signal.pthread_kill(self._thread, INTERRUPT)

    def install(self) -> None:
        """Install the handlers; on the main thread.

        That of SIGINT is Python's, but raises nowhere in our own code either.
        """
        signal.signal(INTERRUPT, self._handle)
        signal.signal(signal.SIGINT, self._handle_keyboard)

    def checkpoint(self) -> None:
        """Raise what could not be raised while a log or metric was being written.

        Called at the end of what the model calls of ours. A model that does nothing but print would
        hardly ever be met in its own code.
        """
        if self._armed and self.cancelled and threading.get_ident() == self._thread:
            self._raise_at(calling_frame())

    def _interrupt(self) -> None:
        self.wake()

    def _handle(self, _signum: int, frame: FrameType | None) -> None:
        self._on_wake(frame)
        self._raise_at(frame)

    def _raise_at(self, frame: FrameType | None) -> None:
        if may_interrupt(frame) and self._is_due():
            raise CancelationException

    def _handle_keyboard(self, _signum: int, frame: FrameType | None) -> None:
        if self._armed and may_interrupt(frame):
            raise KeyboardInterrupt
