"""When to start the next worker after one has failed. Times come in, a pause comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.config import Times

__all__ = ["RestartPolicy"]

_DOUBLINGS_MAX: Final = 64


class RestartPolicy:
    """Counts failures in a row and turns them into pauses that double.

    Args:
        times: the design's table.
        uniform: draws a number between its two arguments (`random.uniform`).
    """

    def __init__(self, times: Times, uniform: Callable[[float, float], float]) -> None:
        self._times = times
        self._uniform = uniform
        self.failures = 0

    def pause_after(self, ready_for: float | None) -> float:
        """Seconds to wait before the next start, after one more failure.

        Args:
            ready_for: how long the failed worker had been READY, in seconds; None: never.
        """
        if ready_for is not None and ready_for >= self._times.restart_reset:
            self.failures = 0
        # The exponent is bounded because a float is: 2.0 ** 1024 raises, hours of failures later.
        doubled = self._times.restart_pause * 2.0 ** min(self.failures, _DOUBLINGS_MAX)
        pause = min(doubled, self._times.restart_pause_max)
        self.failures += 1
        jitter = self._times.restart_jitter
        return pause * self._uniform(1 - jitter, 1 + jitter)
