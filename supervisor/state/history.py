"""What has happened in one prediction, event by event, bounded: the newest are kept."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from supervisor.interface import Event, EventKind, Gap

__all__ = ["LAG_MAX", "History"]

LAG_MAX: Final = 16 * 1024
"""Events that a reader may lie behind. Coglet has 1,024, which a model that yields without a pause
puts out before its reader has had a turn."""


class History:
    """The events of one prediction, numbered from 0. Who reads keeps its own place.

    A reader that is too slow finds a gap: it costs no memory beyond the bounds.

    Args:
        replayed: events that a late reader may still get; 0: none.
        limit: bytes of JSON that the kept events may have together. The newest is always kept.
    """

    def __init__(self, replayed: int, limit: int) -> None:
        self._replayed = replayed
        self._limit = limit
        self._events: deque[Event] = deque()
        self._kept = replayed
        self._newest: dict[EventKind, int] = {}
        self.count = 0
        """Events so far: the number of the next one."""
        self.size = 0
        """Bytes of JSON in the kept events."""

    def expect_reader(self) -> None:
        """Somebody reads from now on: keep what it may still want."""
        self._kept = max(self._replayed, LAG_MAX)

    def append(self, kind: EventKind, data: dict[str, Any], size: int) -> None:
        """The next event; `size` is its bytes of JSON, roughly."""
        self._events.append(Event(self.count, kind, data, size))
        self._newest[kind] = self.count
        self.count += 1
        self.size += size
        while len(self._events) > 1 and (len(self._events) > self._kept or self.size > self._limit):
            self.size -= self._events.popleft().size

    def newest(self, kind: EventKind) -> int:
        """The number of the newest event of a kind, kept or not; -1: there was none."""
        return self._newest.get(kind, -1)

    def missed_by(self, place: int) -> int:
        """Events from `place` on that a reader who comes only now cannot get any more."""
        first = max(self._first, self.count - self._replayed)
        return max(0, first - place)

    def at(self, place: int) -> Event | Gap | None:
        """The event with the number `place`; a gap if it was dropped, None if it is yet to come."""
        if place >= self.count:
            return None
        if place < self._first:
            return Gap(self._first - place, lagged=True, last=self._first - 1)
        return self._events[place - self._first]

    @property
    def _first(self) -> int:
        """The number of the oldest event that is kept."""
        return self.count - len(self._events)
