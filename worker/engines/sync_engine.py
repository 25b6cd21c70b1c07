"""What the engines of sync predictors have in common: set-up on the main thread, and seats."""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.engines.interface import Workplace
    from worker.engines.sync_seat import SyncSeat

__all__ = ["SyncEngine"]


class SyncEngine:
    """Sets a sync predictor up and takes requests for its seats; a subclass serves them."""

    def __init__(self, place: Workplace, seats: list[SyncSeat]) -> None:
        """`seats` are those of the slots, in their order."""
        self._predictor = place.predictor
        self._interrupter = place.interrupter
        self._seats = seats
        self._by_slot = {slot.id: seat for slot, seat in zip(place.slots, seats, strict=True)}
        self._setup_loop: asyncio.AbstractEventLoop | None = None
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
        if self._predictor.setup is None:
            return
        answer = self._context.run(self._interrupter.call, self._predictor.setup)
        if inspect.isawaitable(answer):
            # Not closed: what set-up has opened on it may still be in use.
            loop = self._setup_loop = asyncio.new_event_loop()
            waiting = asyncio.ensure_future(answer, loop=loop)
            self._interrupter.call(loop.run_until_complete, waiting)

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Interrupt the thread of a slot, if it runs what is meant."""
        seat = self._by_slot.get(slot)
        if seat is not None:
            seat.cancel(prediction)

    def stop(self, grace: float | None) -> None:
        """Wake the threads that wait for a request."""
        if grace is not None:
            timer = threading.Timer(grace, self._interrupt_all)
            timer.daemon = True
            timer.start()
        for seat in self._seats:
            seat.stop()

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for a healthcheck, on a loop of its own."""
        return asyncio.run(asyncio.wait_for(awaitable, limit))

    def loop_idle(self) -> float | None:
        """There is no loop."""
        return None

    def _interrupt_all(self) -> None:
        for seat in self._seats:
            seat.interrupt()
