"""The model's own healthcheck: beside the predictions, with a deadline."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Final

from protocol.messages import HealthcheckResult, HealthStatus
from worker import error_text
from worker.engines.interface import TookTooLong
from worker.scope import enter_silence

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.control import Control
    from worker.engines.interface import Engine
    from worker.logs import LogRouter

__all__ = ["LIMIT", "Healthchecks"]

LIMIT: Final = 5.0
"""Seconds that one check may take (`spec/worker.md` 12)."""


class Healthchecks:
    """Answers healthchecks. One runs at a time, and all who ask meanwhile get its answer.

    A check that has not ended in time is left behind, because a thread cannot be ended; until it
    does end, no other is started, and the answer stays the same.
    """

    def __init__(
        self,
        check: Callable[[], Any] | None,
        engine: Engine,
        control: Control,
        router: LogRouter,
    ) -> None:
        """`check` is the model's function; None: it is always healthy."""
        self._check = check
        self._engine = engine
        self._control = control
        self._router = router
        self._lock = threading.Lock()
        self._asking: list[str] = []
        self._running: Future[Any] | None = None

    def start(self, check: str) -> None:
        """Answer the request `check`, later and from another thread if the model is asked."""
        if self._check is None:
            self._control.send(HealthcheckResult(check, HealthStatus.HEALTHY))
            return
        with self._lock:
            self._asking.append(check)
            if len(self._asking) > 1:
                return
            if self._running is None or self._running.done():
                self._running = Future()
                _start_thread(self._run, self._check, self._running)
            _start_thread(self._wait, self._running)

    def _wait(self, running: Future[Any]) -> None:
        error = _verdict(running)
        with self._lock:
            asking, self._asking = self._asking, []
        status = HealthStatus.HEALTHY if error is None else HealthStatus.UNHEALTHY
        for check in asking:
            self._control.send(HealthcheckResult(check, status, error))

    def _run(self, check: Callable[[], Any], running: Future[Any]) -> None:
        self._router.set_current(self._router.nobody)
        enter_silence()
        try:
            answer = check()
            if inspect.isawaitable(answer):
                answer = self._engine.complete(answer, LIMIT)
        # A boundary: whatever the model raises is its answer.
        except BaseException as error:
            running.set_exception(error)
        else:
            running.set_result(answer)


def _start_thread(function: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=function, args=args, name="coglet-healthcheck", daemon=True).start()


def _verdict(running: Future[Any]) -> str | None:
    """Why the model is unhealthy; None if it is not. Waits for the answer, but not for ever."""
    if not wait([running], LIMIT).done:
        return error_text.healthcheck_timed_out(LIMIT)
    try:
        # All but False is healthy, as in coglet: models forget the `return`.
        return error_text.returned_false() if running.result() is False else None
    except TookTooLong:
        return error_text.healthcheck_timed_out(LIMIT)
    except BaseException as error:
        return error_text.healthcheck_failed(error)
