"""What has to happen a moment later: a thread, which sleeps while nothing waits."""

from __future__ import annotations

import itertools
from _thread import start_new_thread  # what is interrupted may hold locks of `threading`
from contextlib import suppress
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Later"]


class Later:
    """Calls functions some time after they were handed over, one after another.

    One belongs to one channel: it waits in the functions that write there, if nobody reads. The
    thread is made for the first of them; most channels never need it.
    """

    def __init__(self) -> None:
        # Its `put` may be entered again, by a signal handler that prints, and never waits.
        self._asked: SimpleQueue[tuple[float, int, Callable[[], object]]] = SimpleQueue()
        self._numbers = itertools.count()
        self._runs = False

    def call(self, delay: float, function: Callable[[], object]) -> None:
        """Have `function` called in `delay` seconds. It must not raise.

        From any thread, but with the lock of the channel held.
        """
        self._asked.put((monotonic() + delay, next(self._numbers), function))
        if not self._runs:
            self._runs = True  # first: a signal handler that prints may come between
            try:
                start_new_thread(self._run, ())
            except RuntimeError:
                self._runs = False  # no more threads: the next call tries again

    def _run(self) -> None:
        waiting: list[tuple[float, int, Callable[[], object]]] = []
        while True:
            pause = waiting[0][0] - monotonic() if waiting else None
            if pause is not None and pause <= 0:
                heappop(waiting)[2]()
                continue
            with suppress(Empty):
                heappush(waiting, self._asked.get(timeout=pause))
