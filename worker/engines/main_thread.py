"""The engine of sync predictors with one slot: all is done on the main thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.engines.sync_engine import SyncEngine
from worker.engines.sync_seat import SyncSeat

if TYPE_CHECKING:
    from worker.engines.interface import Workplace

__all__ = ["MainThreadEngine"]


class MainThreadEngine(SyncEngine):
    """Runs a sync predictor in the only slot. Signals, CUDA and many libraries want this thread."""

    def __init__(self, place: Workplace) -> None:
        super().__init__(place)
        (slot,) = place.slots
        self._seat = SyncSeat(slot, place, place.interrupter, self._loop)
        self._seats = {slot.id: self._seat}

    def serve(self) -> None:
        """Run predictions, one after another."""
        self._seat.serve(self._context)
