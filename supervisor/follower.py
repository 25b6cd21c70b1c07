"""A reader of a prediction's events: it keeps its own place, and waits for what is yet to come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import trio
from attrs import evolve

from supervisor.interface import Event, EventKind, Gap

if TYPE_CHECKING:
    from supervisor.job import Job

__all__ = ["JobFollower"]


class JobFollower:
    """One reader (`supervisor.interface.Follower`).

    Nothing is buffered for it: it looks into the history of the prediction, whose bounds hold.

    Args:
        job: what it reads of.
        after: the number of the last event that it knows. A number that is yet to come is of an
            earlier prediction with the same id: then it knows none.
    """

    def __init__(self, job: Job, after: int | None) -> None:
        self._job = job
        self._history = job.prediction.history
        self._history.expect_reader()
        self._place = 0 if after is None or after >= self._history.count else after + 1
        self._missed = self._history.missed_by(self._place)
        self._is_over = False

    async def __aenter__(self) -> Self:
        """Begin."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Be counted no more."""
        self.close()

    def close(self) -> None:
        """Be counted no more."""
        self._job.left_by(self)

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> Event | Gap:
        """The next event, or the gap in which the reader is lost."""
        await trio.lowlevel.checkpoint()
        while (found := self.next_nowait()) is None:
            if self._is_over or self._job.prediction.is_terminal:
                raise StopAsyncIteration
            await self._job.next_event()
        return found

    def next_nowait(self) -> Event | Gap | None:
        """The next event if it has happened; None too when nothing follows."""
        if self._is_over:
            return None
        if self._missed:
            last = self._place + self._missed - 1
            found: Event | Gap | None = Gap(self._missed, lagged=False, last=last)
        else:
            found = self._history.at(self._place)
        match found:
            case Gap():
                self._is_over = True
            case Event(kind=EventKind.COMPLETED):
                self._is_over = True
                # What it says is made now, and not kept twice.
                view = self._job.view()
                found = evolve(found, data=view.as_state(), size=view.size)
        self._place += 1 if found is not None else 0
        return found
