"""What the engines of sync predictors have in common: set-up on the main thread, and seats."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import ExitStack
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from worker.engines.outcome import outcome_of, result_of
from worker.engines.own_loop import OwnLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.engines.interface import Workplace
    from worker.engines.sync_seat import SyncSeat

__all__ = ["SyncEngine"]


class SyncEngine:
    """Sets a sync predictor up and takes requests for its seats; a subclass serves them."""

    _seats: dict[str, SyncSeat]
    """By the ids of the slots. A subclass makes them."""

    def __init__(self, place: Workplace) -> None:
        self._predictor = place.predictor
        self._interrupter = place.interrupter
        self._interrupter.patience = place.options.cancel_grace
        self._loop = OwnLoop(place.interrupter, place.options.cancel_grace)
        self._loops = [self._loop]
        """Those of other threads come after that of the main one."""
        self._context = copy_context()
        """What set-up leaves behind in context variables."""

    def run(self, ready: Callable[[], bool]) -> None:
        """See `Engine`."""
        self.set_up()
        if ready():
            self.serve()

    def serve(self) -> None:
        """Run predictions until `stop`, or until no slot can be used any more."""
        raise NotImplementedError

    def set_up(self) -> None:
        """Run the model's set-up to its end; an async one on a loop that then stands still."""
        if self._predictor.setup is not None:
            answer = self._context.run(self._interrupter.call, self._predictor.setup)
            if inspect.isawaitable(answer):
                self._loop.run_interruptibly(answer, self._context)

    def tear_down(self) -> None:
        """Run the model's teardown, and end what is left of loops; on the main thread."""
        with ExitStack() as closing:
            for loop in self._loops:
                closing.callback(loop.close)
            if self._predictor.teardown is not None:
                answer = self._context.run(self._interrupter.call, self._predictor.teardown)
                if inspect.isawaitable(answer):
                    self._loop.run_interruptibly(answer, self._context)

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Interrupt the thread of a slot, if it runs what is meant."""
        seat = self._seats.get(slot)
        if seat is not None:
            seat.cancel(prediction)

    def stop(self, grace: float | None) -> None:
        """Wake the threads that wait for a request."""
        if grace is not None:
            timer = threading.Timer(grace, self._interrupt_all)
            timer.daemon = True
            timer.start()
        for seat in self._seats.values():
            seat.stop()

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck, on a loop of its own."""
        return result_of(asyncio.run(outcome_of(awaitable, limit)))

    def loop_idle(self) -> float | None:
        """There is no loop that turns by itself."""
        return None

    def _interrupt_all(self) -> None:
        for seat in self._seats.values():
            seat.interrupt()
