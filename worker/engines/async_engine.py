"""What the engines of async predictors have in common: all slots on one loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from worker.engines.loop_watch import LoopWatch
from worker.engines.model_call import ModelCall
from worker.engines.seat import Seat

if TYPE_CHECKING:
    from worker.engines.event_loop import EventLoop
    from worker.engines.interface import Workplace

__all__ = ["AsyncEngine"]


class AsyncEngine:
    """Any number of slots on one event loop. What makes the loop turn is the subclasses' matter."""

    def __init__(self, place: Workplace, loop: EventLoop, remedy: str) -> None:
        """`remedy` is how a blocking function is called without blocking this kind of loop."""
        self._loop = loop
        # They fetch inputs and copy outputs, and start when they are needed: no slot ever waits for
        # another's.
        self._threads = ThreadPoolExecutor(len(place.slots), "coglet-files")
        self._watch = LoopWatch(loop.soon, place.options.block_warning, place.warn, remedy)
        call = ModelCall(place, loop, self._threads)
        self._seats = {
            slot.id: Seat(slot, place, loop, call, self._watch, self._check_over)
            for slot in place.slots
        }

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Note what is meant to stop, and have the loop cancel it."""
        seat = self._seats.get(slot)
        if seat is not None and seat.cancel(prediction):
            self._loop.soon(seat.stop_task)

    def stop(self, grace: float | None) -> None:
        """Have the loop start nothing more, and end."""
        self._loop.soon(partial(self._stop, grace))

    def loop_idle(self) -> float | None:
        """Seconds that the loop has owed an answer."""
        return self._watch.idle()

    def _open_seats(self) -> None:
        self._watch.start()
        for seat in self._seats.values():
            seat.open()

    def _close_seats(self) -> None:
        """Nothing runs any more."""
        self._watch.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _stop(self, grace: float | None) -> None:
        for seat in self._seats.values():
            seat.close()
            if grace is not None:
                self._loop.later(grace, seat.cancel_now)
        self._check_over()

    def _check_over(self) -> None:
        if all(seat.is_over for seat in self._seats.values()):
            self._over()

    def _over(self) -> None:
        """Nothing runs and nothing will: the loop is to end."""
        raise NotImplementedError
