"""Asking a worker for its model's health: one question in flight, its answer shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from protocol.messages import Healthcheck, HealthcheckResult, HealthStatus
from supervisor.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HealthcheckCalls"]

_ENDED: Final = "the worker ended during the healthcheck"


class HealthcheckCalls:
    """The healthchecks of one worker.

    Args:
        send: writes to its control channel.
        timeout: seconds that a caller waits; a question as old as that is asked anew.
    """

    def __init__(self, send: Callable[[Healthcheck], None], timeout: float) -> None:
        self._send = send
        self._timeout = timeout
        self._count = 0
        self._asked_at = 0.0
        self._in_flight: str | None = None
        self._closed = False
        self._callers: list[trio.MemorySendChannel[HealthcheckResult]] = []

    async def call(self) -> str | None:
        """None if the model is healthy, else what is wrong with it."""
        if self._closed:
            return _ENDED
        self._ask()
        answer_to, answer = trio.open_memory_channel[HealthcheckResult](1)
        self._callers.append(answer_to)
        try:
            with answer:
                result = await patiently(self._timeout, answer.receive)
        except trio.TooSlowError:
            return "healthcheck timed out"
        except trio.EndOfChannel:
            return _ENDED
        finally:
            if answer_to in self._callers:
                self._callers.remove(answer_to)
        return None if result.status is HealthStatus.HEALTHY else result.error or "unhealthy"

    def answered(self, result: HealthcheckResult) -> None:
        """The worker answered. An answer to an older question is ignored."""
        if result.id != self._in_flight:
            return
        self._in_flight = None
        callers, self._callers = self._callers, []
        for caller in callers:
            caller.send_nowait(result)
            caller.close()

    def close(self) -> None:
        """The worker has ended: nobody will be answered any more."""
        self._closed = True
        for caller in self._callers:
            caller.close()

    def _ask(self) -> None:
        now = trio.current_time()
        if self._in_flight is not None and now - self._asked_at < self._timeout:
            return
        self._count += 1
        self._in_flight = f"hc_{self._count}"
        self._asked_at = now
        self._send(Healthcheck(self._in_flight))
