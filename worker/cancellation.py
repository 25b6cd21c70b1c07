"""From a `Cancel` to an exception in the right place, and in no other.

`SlotCancels` decides which prediction a `Cancel` means. `Interrupter` raises in the main thread:
a real-time signal whose handler looks where the main thread is before it raises.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from worker.sdk import CancelationException

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = [
    "INTERRUPT",
    "Interrupter",
    "SlotCancels",
    "calling_frame",
    "enters_model",
    "is_ours",
    "may_interrupt",
    "stands_in_model",
]

INTERRUPT: Final = signal.SIGRTMIN + 7
"""Models install handlers of their own, but hardly for this one."""

_REPEAT_EVERY: Final = 0.05
"""Seconds. One signal is not enough: an exception in a finaliser is printed and dropped."""

_RAISE_EVERY: Final = 0.5
"""Seconds that a model's `finally` has before the next exception."""

_OURS: Final = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), package, "")
    for package in ("worker", "protocol")
)
_interruptible_files: Final = frozenset(
    os.path.join(_OURS[0], name)
    for name in (
        "conversion.py",
        "downloads.py",
        "file_copy.py",
        "files.py",
        "inputs.py",
        "output_files.py",
        "outputs.py",
        "plain_json.py",
        "predictor.py",
        "scope.py",
    )
)
"""Code of ours that runs for the prediction, may take long, and leaves no state behind."""


class SlotCancels:
    """What is known of the predictions of one slot, as far as a `Cancel` asks. No I/O, no lock."""

    def __init__(self) -> None:
        self._running: str | None = None
        self._ended: str | None = None
        self._reading = False
        self._remembered: str | None = None
        self._remembered_any = False
        self.cancelled = False
        """Whether the running prediction is to stop."""

    def reading(self, *, request: bool = True) -> None:
        """A request has begun to arrive; or what came was none."""
        self._reading = request

    def begin(self, prediction: str) -> bool:
        """`prediction` was read. True: it is cancelled already. Forgets what meant another one."""
        self.cancelled = self._remembered_any or self._remembered == prediction
        self._running = prediction
        self._reading = self._remembered_any = False
        self._remembered = None
        return self.cancelled

    def request(self, prediction: str | None, arrived: Callable[[], bool]) -> bool:
        """A `Cancel` came. True: it means the running prediction, which is now to stop.

        Args:
            prediction: which one is meant, if the supervisor says so.
            arrived: whether a request can be read from the slot's socket.
        """
        if self._running is not None:
            if prediction not in (None, self._running):
                return False
            self.cancelled = True
            return True
        coming = self._reading or arrived()
        if prediction is None:
            self._remembered_any = coming
        elif coming or prediction != self._ended:
            self._remembered = prediction
        return False

    def finish(self) -> bool:
        """The running prediction has ended: no `Cancel` meets it any more. True: one has."""
        self._ended, self._running = self._running, None
        cancelled, self.cancelled = self.cancelled, False
        return cancelled


_F = TypeVar("_F", bound="Callable[..., Any]")
_entries: Final[set[CodeType]] = set()
"""The functions of ours that call the model's code."""


def enters_model(function: _F) -> _F:
    """Mark a function that calls the model's code and can do with an exception at any moment."""
    _entries.add(function.__code__)
    return function


@enters_model
def _call(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """The place from which all is called that may be interrupted. It does nothing else."""
    return function(*args, **kwargs)


def is_ours(code: CodeType) -> bool:
    """Whether a function is one of this worker."""
    return code.co_filename.startswith(_OURS)


def may_interrupt(frame: FrameType | None) -> bool:
    """Whether code that stands at `frame` may be interrupted by an exception.

    The innermost function of ours decides. Only the model's code and our handling of inputs and
    outputs may be interrupted; not the writing of logs, metrics and frames, and not what lies
    between two predictions.
    """
    while frame is not None:
        code = frame.f_code
        if code in _entries or code.co_filename in _interruptible_files:
            return True
        if code.co_filename.startswith(_OURS):
            return False
        frame = frame.f_back
    return False


def stands_in_model(frame: FrameType | None) -> bool:
    """Whether code of the model has called, from however far, what stands at `frame`."""
    while frame is not None:
        if frame.f_code in _entries:
            return True
        frame = frame.f_back
    return False


def calling_frame() -> FrameType | None:
    """The frame that has called into our code, from which this is called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame


class Interrupter:
    """Interrupts the prediction that runs on the main thread.

    The main thread calls `reading`, `begin`, `call` and `finish`; any other thread `request`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancels = SlotCancels()
        self._run = 0
        self._raised_at = float("-inf")
        self._main_thread = threading.main_thread().ident or 0
        self._armed = False

    def install(self) -> None:
        """Install the handlers; on the main thread.

        That of SIGINT is Python's, but raises nowhere in our own code either.
        """
        signal.signal(INTERRUPT, self._handle)
        signal.signal(signal.SIGINT, self._handle_keyboard)

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
            return _call(function, args, kwargs)
        finally:
            self._armed = False

    def finish(self) -> bool:
        """It has ended; from here on no signal is sent. True: it was told to stop."""
        with self._lock:
            self._run += 1
            return self._cancels.finish()

    @property
    def cancelled(self) -> bool:
        """Whether the running prediction is to stop."""
        return self._cancels.cancelled

    def request(self, prediction: str | None, arrived: Callable[[], bool]) -> None:
        """A `Cancel` came (see `SlotCancels.request`): interrupt the main thread if it is meant."""
        with self._lock:
            known = self._cancels.cancelled
            if not self._cancels.request(prediction, arrived) or known:
                return
            run = self._run
        if self._signal(run):
            threading.Thread(
                target=self._repeat, args=(run,), name="coglet-cancel", daemon=True
            ).start()

    def _repeat(self, run: int) -> None:
        pause = threading.Event()  # nobody sets it: a clock that is not the model's `time.sleep`
        while not pause.wait(_REPEAT_EVERY) and self._signal(run):
            pass

    def _signal(self, run: int) -> bool:
        """Send the signal if `run` is still running. The lock is what `finish` waits for."""
        with self._lock:
            if run != self._run:
                return False
            if signal.getsignal(INTERRUPT) == self._handle:
                signal.pthread_kill(self._main_thread, INTERRUPT)
            return True

    def checkpoint(self) -> None:
        """Raise what could not be raised while a log or metric was being written.

        Called at the end of what the model calls of ours. A model that does nothing but print would
        hardly ever be met in its own code.
        """
        if not (self._armed and self._cancels.cancelled):
            return
        if threading.get_ident() == self._main_thread:
            self._raise_at(calling_frame())

    def _handle(self, _signum: int, frame: FrameType | None) -> None:
        if self._armed and self._cancels.cancelled:
            self._raise_at(frame)

    def _raise_at(self, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._raised_at >= _RAISE_EVERY and may_interrupt(frame):
            self._raised_at = now
            raise CancelationException

    def _handle_keyboard(self, _signum: int, frame: FrameType | None) -> None:
        if self._armed and may_interrupt(frame):
            raise KeyboardInterrupt
