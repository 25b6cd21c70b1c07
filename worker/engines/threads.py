"""The engine of sync predictors with several slots: one thread for each, on the operator's wish.

The model's code then runs in several threads at once, and not on the main thread, which waits (and
runs the model's signal handlers). A `Cancel` interrupts Python code; a call into C that blocks is
interrupted when it has ended.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from worker.engines.own_loop import OwnLoop
from worker.engines.sync_engine import SyncEngine
from worker.engines.sync_seat import SyncSeat
from worker.thread_interrupter import ThreadInterrupter

if TYPE_CHECKING:
    from worker.engines.interface import Workplace

__all__ = ["ThreadsEngine"]


class ThreadsEngine(SyncEngine):
    """Runs a sync predictor in any number of slots, each on a thread of its own."""

    def __init__(self, place: Workplace) -> None:
        super().__init__(place)
        self._seats = {}
        for slot in place.slots:
            interrupter = ThreadInterrupter(place.warn)
            interrupter.patience = place.options.cancel_grace
            loop = OwnLoop(interrupter, place.options.cancel_grace)
            self._loops.append(loop)
            self._seats[slot.id] = SyncSeat(slot, place, interrupter, loop)

    def serve(self) -> None:
        """Run predictions in all slots. Raises what is a bug of ours in one of the threads."""
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        for number, seat in enumerate(self._seats.values()):
            threading.Thread(
                target=self._serve_seat,
                args=(seat, ended),
                name=f"coglet-slot-{number}",
                daemon=True,
            ).start()
        for _ in self._seats:
            error = ended.get()
            if error is not None:
                raise error

    def _serve_seat(self, seat: SyncSeat, ended: queue.SimpleQueue[BaseException | None]) -> None:
        try:
            seat.serve(self._context)
        # A boundary: the main thread raises it.
        except BaseException as error:
            ended.put(error)
        else:
            ended.put(None)
