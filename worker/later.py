"""What has to happen a moment later: one thread, which sleeps while nothing waits."""

from __future__ import annotations

import itertools
import threading
from contextlib import suppress
from heapq import heappop, heappush
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Later"]


class Later:
    """Calls functions some time after they were handed over, one after another."""

    def __init__(self) -> None:
        # Its `put` may be entered again, by a signal handler that prints, and never waits.
        self._asked: SimpleQueue[tuple[float, int, Callable[[], object]]] = SimpleQueue()
        self._numbers = itertools.count()

    def start(self) -> None:
        """Begin, in a thread of its own that does not keep the interpreter from ending."""
        threading.Thread(target=self._run, name="coglet-later", daemon=True).start()

    def call(self, delay: float, function: Callable[[], object]) -> None:
        """Have `function` called in `delay` seconds; from any thread. It must not raise."""
        self._asked.put((monotonic() + delay, next(self._numbers), function))

    def _run(self) -> None:
        waiting: list[tuple[float, int, Callable[[], object]]] = []
        while True:
            pause = waiting[0][0] - monotonic() if waiting else None
            if pause is not None and pause <= 0:
                heappop(waiting)[2]()
                continue
            with suppress(Empty):
                heappush(waiting, self._asked.get(timeout=pause))
