"""The interrupter of a thread that is not the main one: an exception that Python delivers there.

`PyThreadState_SetAsyncExc` leaves an exception with a thread, which finds it between two steps of
Python code: not inside a blocking call, only after it. Nobody can tell beforehand which step that
will be. So it is not enough to look where the thread is and then to raise: meanwhile the thread may
have begun to write a frame. Every thread has a `shield` instead, a lock that it holds while code of
ours runs that must not be cut; an exception is left with it only by whoever has that lock.

What was left a moment before the thread took its shield comes out at the first call inside. So the
first thing done under a shield is a call, and nothing else has happened yet when it is cut.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from worker.call_stack import call_model, calling_frame, may_interrupt
from worker.interrupter import Interrupter
from worker.sdk import CancelationException

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ThreadInterrupter", "checkpoint", "this_thread"]

# A library object of our own: models that use `ctypes.pythonapi` declare other types. Pointers as
# integers, because NULL takes back what was left.
_leave_exception: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.PyDLL(None))
)


class _ThisThread(threading.local):
    """What belongs to the calling thread alone."""

    def __init__(self) -> None:
        self.shield = threading.RLock()
        """Held, by `with`, where an exception out of the blue would do harm."""
        self.interrupter: ThreadInterrupter | None = None


this_thread: Final = _ThisThread()


def checkpoint() -> None:
    """Raise what could not be raised while a log or metric was being written."""
    if this_thread.interrupter is not None:
        this_thread.interrupter.checkpoint()


class ThreadInterrupter(Interrupter):
    """Interrupts the thread that calls `begin`, `call` and `finish`."""

    def __init__(
        self, warn: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(warn, clock=clock)
        self._shield = threading.RLock()
        self._exception = _exception_class(self._note_raised)

    def begin(self, prediction: str) -> bool:
        """`prediction` was read. True: it is cancelled already."""
        # A new lock each time: should a release of it ever be cut, one prediction bears it.
        self._shield = this_thread.shield = threading.RLock()
        self._thread = threading.get_ident()
        this_thread.interrupter = self
        return super().begin(prediction)

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call what may be interrupted. Raises as `Interrupter.call`."""
        try:
            self._armed = True
            return call_model(function, args, kwargs)
        finally:
            # None of the steps from here into the foreign function lets an exception come out, and
            # after it there is none. The lock is held by whoever has just seen us armed, if at all.
            self._armed = False
            with this_thread.shield:
                _leave_exception(self._thread, None)

    def checkpoint(self) -> None:
        """Raise, at the end of what the model calls of ours; in the thread itself."""
        if self._armed and self.cancelled and may_interrupt(calling_frame()):
            with this_thread.shield:
                is_due = self._is_due()
            if is_due:
                raise CancelationException

    def _interrupt(self) -> None:
        # While it is busy with our code, there is a checkpoint at the end of that.
        if self._shield.acquire(blocking=False):
            try:
                if self._is_due():
                    _leave_exception(self._thread, id(self._exception))
            finally:
                self._shield.release()

    def _note_raised(self) -> None:
        # The model's clean-up has its time from now on, not from the middle of a blocking call.
        self._raised_at = self._clock()


def _exception_class(note_raised: Callable[[], None]) -> type[CancelationException]:
    """A `CancelationException` that tells when it was raised: Python makes it only then."""

    class Raised(CancelationException):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            note_raised()

    Raised.__name__ = Raised.__qualname__ = CancelationException.__name__
    Raised.__module__ = CancelationException.__module__
    return Raised


def _renew() -> None:
    """In a forked child: the lock may be held by a thread that does not exist here."""
    this_thread.shield = threading.RLock()


os.register_at_fork(after_in_child=_renew)
