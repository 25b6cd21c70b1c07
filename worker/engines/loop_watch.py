"""Whether the event loop turns; and if it does not, which line of the model keeps it from it.

The loop is asked to answer, as it is asked for anything else from another thread. How often it was
found not to have answered counts, not the time: when the whole process was stopped (SIGSTOP, a
suspended machine), the thread that looks was stopped too.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import time
from time import sleep  # by name: the interpreter's own, whatever the model puts in its place
from typing import TYPE_CHECKING, Final

from worker.call_stack import is_ours, stands_in_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = ["LoopWatch", "blocking_place"]

_LOOKS: Final = 4
"""How often in a row the loop must not have answered. The time between is a fourth of the limit."""

_REST: Final = 5.0
"""Seconds between two looks while no prediction runs; tasks of the model's own may block too."""

_STANDARD_LIBRARY: Final = (os.path.join(sysconfig.get_path("stdlib"), ""), "<frozen ")


class LoopWatch:
    """Watches the loop of the main thread, from a thread of its own.

    Args:
        on_loop: has the loop call a function; from any thread.
        limit: seconds until a blockage is told; 0: it never is.
        tell: is told, once for each blockage.
        remedy: how a blocking function is called without blocking this kind of loop.
    """

    def __init__(
        self,
        on_loop: Callable[[Callable[[], None]], None],
        limit: float,
        tell: Callable[[str], None],
        remedy: str,
    ) -> None:
        self._on_loop = on_loop
        self._limit = limit
        self._tell = tell
        self._remedy = remedy
        self._main_thread = threading.main_thread().ident or 0
        self._lock = threading.Lock()
        """Held by who asks: two threads do, and the first one's time counts."""
        self._asked_at: float | None = None
        self._running = 0
        self._awake = threading.Event()
        self._ended = False

    def start(self) -> None:
        """Begin to look, in a thread that does not keep the interpreter from ending."""
        if self._limit > 0:
            threading.Thread(target=self._run, name="coglet-watch", daemon=True).start()

    def stop(self) -> None:
        """Look no more: the loop is about to end."""
        self._ended = True
        self._awake.set()

    def idle(self) -> float:
        """Seconds that the loop has owed an answer. From any thread."""
        asked_at = self._asked_at
        if asked_at is None:
            self._ask()
            return 0.0
        return time.monotonic() - asked_at

    def began(self) -> None:
        """A prediction runs; on the loop's thread."""
        self._running += 1
        if self._running == 1:
            self._awake.set()

    def ended(self) -> None:
        """One has ended; on the loop's thread."""
        self._running -= 1
        if not self._running and not self._ended:
            self._awake.clear()

    def _ask(self) -> None:
        with self._lock:
            if self._asked_at is None:
                self._asked_at = time.monotonic()
                self._on_loop(self._answer)

    def _answer(self) -> None:
        self._asked_at = None

    def _run(self) -> None:
        missed = 0
        while not self._ended:
            if self._asked_at is None:
                missed = 0
                self._awake.wait(_REST)
                self._ask()
            else:
                missed += 1
                if missed == _LOOKS:
                    self._tell_of(sys._current_frames().get(self._main_thread))
            sleep(self._limit / _LOOKS)

    def _tell_of(self, frame: FrameType | None) -> None:
        place = blocking_place(frame)
        if place is not None:
            self._tell(
                f"the event loop has not turned for {self._limit:g} s because of {place}; "
                "meanwhile no other prediction goes on, and no cancel arrives: "
                f"await it, or {self._remedy}"
            )


def blocking_place(frame: FrameType | None) -> str | None:
    """Where the model's code stands that has called, in however many steps, what is at `frame`.

    None: it has not, or it was us whom it called.
    """
    innermost, package = frame, None
    while frame is not None and not is_ours(frame.f_code):
        if _is_installed(frame.f_code):
            package = package or frame
        elif not _is_standard(frame.f_code):
            return _described(frame, innermost)
        frame = frame.f_back
    # The model itself may be installed, as a package; but the loop may be one too.
    return _described(package, innermost) if package and stands_in_model(frame) else None


def _described(frame: FrameType, innermost: FrameType | None) -> str:
    if innermost is None or innermost is frame:
        return _where(frame)
    return f"{_where(frame)}, in {_where(innermost)}"


def _where(frame: FrameType) -> str:
    code = frame.f_code
    folder = os.path.join(os.getcwd(), "")
    return f"{code.co_filename.removeprefix(folder)}:{frame.f_lineno} ({code.co_qualname})"


def _is_installed(code: CodeType) -> bool:
    parts = code.co_filename.split(os.sep)
    return "site-packages" in parts or "dist-packages" in parts


def _is_standard(code: CodeType) -> bool:
    return code.co_filename.startswith(_STANDARD_LIBRARY)
