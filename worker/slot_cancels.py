"""Which prediction a `Cancel` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SlotCancels"]


class SlotCancels:
    """What is known of the predictions of one slot, as far as a `Cancel` asks. No I/O, no lock."""

    def __init__(self) -> None:
        self.running: str | None = None
        """The prediction that runs."""
        self._ended: str | None = None
        self._reading = False
        self._remembered: str | None = None
        self._remembered_any = False
        self.cancelled = False
        """Whether the running prediction is to stop."""

    def reading(self, *, request: bool = True) -> None:
        """A request has begun to arrive; or what came was none."""
        self._reading = request

    def begin(self, prediction: str) -> bool:
        """`prediction` was read. True: it is cancelled already. Forgets what meant another one."""
        self.cancelled = self._remembered_any or self._remembered == prediction
        self.running = prediction
        self._reading = self._remembered_any = False
        self._remembered = None
        return self.cancelled

    def request(self, prediction: str | None, arrived: Callable[[], bool]) -> bool:
        """A `Cancel` came. True: it means the running prediction, which is now to stop.

        Args:
            prediction: which one is meant, if the supervisor says so.
            arrived: whether a request can be read from the slot's socket.
        """
        if self.running is not None:
            if prediction not in (None, self.running):
                return False
            self.cancelled = True
            return True
        coming = self._reading or arrived()
        if prediction is None:
            self._remembered_any = coming
        elif coming or prediction != self._ended:
            self._remembered = prediction
        return False

    def finish(self) -> bool:
        """The running prediction has ended: no `Cancel` meets it any more. True: one has."""
        self._ended, self.running = self.running, None
        cancelled, self.cancelled = self.cancelled, False
        return cancelled
