"""Which job gets which slot: admission, order, hand-over to the slots' inboxes.

A plain state class: every method is synchronous, one thread calls them all, nothing is locked and
nothing waits. A slot takes part by calling `available` each time it is idle.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from supervisor.interface import AtCapacity

if TYPE_CHECKING:
    from supervisor.job import Job

__all__ = ["Allocator", "Inbox"]


class Inbox(Protocol):
    """A slot, as the allocator sees it."""

    def deliver(self, job: Job) -> None:
        """Take `job`. Called only after `Allocator.available`, once each time; never blocks."""
        ...


class Allocator:
    """The waiting jobs and the idle slots; never both at once.

    Args:
        queue: how many jobs may wait when no slot is idle. Slots that are finishing (their client
            is answered, their `idle` is on its way) each let one more wait, so that a client who
            sends one request after another is never refused.
    """

    def __init__(self, queue: int = 0) -> None:
        self._queue = queue
        self._waiting: deque[Job] = deque()
        self._accepted = 0
        # Dictionaries for their order: the slot that has been idle longest is taken first.
        self._idle: dict[Inbox, None] = {}
        self._finishing: dict[Inbox, None] = {}

    @property
    def waiting(self) -> int:
        """How many jobs no slot has yet."""
        return len(self._waiting)

    @property
    def has_queue(self) -> bool:
        """Whether jobs may wait, so that it is worth saying how long they did."""
        return self._queue > 0

    @property
    def has_free_slot(self) -> bool:
        """Whether a job that came now would not have to wait for another one's end."""
        return bool(self._idle) or len(self._waiting) < len(self._finishing)

    @property
    def has_room(self) -> bool:
        """Whether `submit` would accept a job now."""
        return bool(self._idle) or len(self._waiting) < self._queue + len(self._finishing)

    def submit(self, job: Job) -> None:
        """Give `job` to an idle slot, or let it wait.

        Raises:
            AtCapacity: no slot is idle, and as many jobs wait as may.
        """
        if not self.has_room:
            raise AtCapacity
        self._accepted += 1
        job.accepted = self._accepted
        self._waiting.append(job)
        self._hand_over()

    def put_back(self, job: Job) -> None:
        """Let a job that was accepted before go first again. It is never refused.

        Of several that were put back, the one that was accepted first goes first.
        """
        place = 0
        while place < len(self._waiting) and self._waiting[place].accepted < job.accepted:
            place += 1
        self._waiting.insert(place, job)
        self._hand_over()

    def withdraw(self, job: Job) -> bool:
        """Take a job back. False: it does not wait here (any more)."""
        try:
            self._waiting.remove(job)
        except ValueError:
            return False
        return True

    def withdraw_all(self) -> list[Job]:
        """Take back every job that waits, in order."""
        jobs = list(self._waiting)
        self._waiting.clear()
        return jobs

    def available(self, slot: Inbox) -> None:
        """`slot` is idle: it gets the first job that waits, or will get the next one."""
        self._finishing.pop(slot, None)
        self._idle[slot] = None
        self._hand_over()

    def finishing(self, slot: Inbox) -> None:
        """`slot` has answered its prediction and will soon be idle."""
        self._finishing[slot] = None

    def remove(self, slot: Inbox) -> None:
        """`slot` takes no more jobs: it is poisoned, or its worker is about to end."""
        self._idle.pop(slot, None)
        self._finishing.pop(slot, None)

    def _hand_over(self) -> None:
        while self._waiting and self._idle:
            slot = next(iter(self._idle))
            del self._idle[slot]
            slot.deliver(self._waiting.popleft())
