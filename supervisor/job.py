"""A prediction on its way: its state, who waits for it, and how it is cancelled."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from supervisor.follower import JobFollower
from supervisor.interface import TooManyFollowers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from supervisor.delivery import Delivery
    from supervisor.interface import PredictionView
    from supervisor.state.prediction import Prediction

__all__ = ["FOLLOWERS_MAX", "TRIES_MAX", "Job"]

FOLLOWERS_MAX: Final = 1024
"""Readers that one prediction may have at a time (coglet's)."""

TRIES_MAX: Final = 3
"""Workers that a prediction may wait for, or be handed to, in vain."""


class Job:
    """An accepted prediction, from the front end's call to its terminal state.

    The slot task that runs it does so inside `attempt`; `cancel` cancels that scope, which is what
    makes the slot task send `Cancel`. The terminal methods wake up everybody in `wait`.

    Args:
        prediction: its state.
        withdraw: takes the job back from the allocator if no slot has it; says whether it did.
        over: is told when the job is terminal, before those who wait.
    """

    def __init__(
        self,
        prediction: Prediction,
        *,
        withdraw: Callable[[Job], bool],
        over: Callable[[Job], None],
    ) -> None:
        self.prediction = prediction
        self.cancel_requested = False
        self.accepted = 0
        """Set by the allocator: a job that was accepted before another has the lower number."""
        self.tries = 0
        """Workers that could not be handed it, or did not become ready while it waited."""
        self.delivery: Delivery | None = None
        """Uploads the files of its output, if they are to be uploaded."""
        self.ends_unread = False
        """Whether it is to be cancelled once nobody reads its events any more."""
        self._withdraw = withdraw
        self._notify_over = over
        self._scope: trio.CancelScope | None = None
        self.clients = 0
        """How many requests wait for its end now."""
        self._waiters: list[trio.MemorySendChannel[None]] = []
        self._followers: set[JobFollower] = set()
        self._event = trio.lowlevel.ParkingLot()
        prediction.on_event = self._wake_followers

    # --- for the front end --------------------------------------------------------------------

    def view(self) -> PredictionView:
        """The prediction as it is now."""
        return self.prediction.view()

    def summary(self) -> PredictionView:
        """The same without input, output and logs."""
        return self.prediction.summary()

    async def wait(self) -> PredictionView:
        """Wait for the terminal state. Being cancelled here does not cancel the prediction."""
        if not self.prediction.is_terminal:
            send, receive = trio.open_memory_channel[None](0)
            self._waiters.append(send)
            try:
                with receive:
                    # Nothing is ever sent: the channel closes to say that it is over.
                    async for _ in receive:
                        pass
            finally:
                if send in self._waiters:  # a waiter that was cancelled, and may come again
                    self._waiters.remove(send)
        return self.prediction.view()

    def cancel(self) -> None:
        """Ask that the prediction stops. Does nothing once it is terminal."""
        if self.prediction.is_terminal:
            return
        self.cancel_requested = True
        if self._withdraw(self):
            self.canceled()
        else:
            self._stop()

    def follow(self, after: int | None = None) -> JobFollower:
        """A reader of its events that knows those up to number `after`; None: none.

        Raises:
            TooManyFollowers: there are `FOLLOWERS_MAX` already.
        """
        if len(self._followers) >= FOLLOWERS_MAX:
            raise TooManyFollowers
        follower = JobFollower(self, after)
        self._followers.add(follower)
        return follower

    @property
    def followers(self) -> int:
        """How many read its events now."""
        return len(self._followers)

    @property
    def events(self) -> int:
        """How many events there have been."""
        return self.prediction.history.count

    # --- for followers ------------------------------------------------------------------------

    def left_by(self, follower: JobFollower) -> None:
        """A reader has ended."""
        self._followers.discard(follower)

    async def next_event(self) -> None:
        """Wait for the next event."""
        await self._event.park()

    def _wake_followers(self) -> None:
        if self._event:  # nobody waits for most events, and there are many
            self._event.unpark_all()

    # --- for the slot task --------------------------------------------------------------------

    @contextmanager
    def attempt(self) -> Iterator[trio.CancelScope]:
        """The scope in which a slot runs the prediction. Cancelled from the start if it has to be.

        A job that was put back is attempted again, in a new scope.
        """
        with trio.CancelScope() as scope:
            self._scope = scope
            if self.cancel_requested:
                scope.cancel()
            try:
                yield scope
            finally:
                self._scope = None

    def stop_doomed(self) -> None:
        """Stop a prediction that will fail anyway."""
        self._stop()

    # --- terminal states ----------------------------------------------------------------------

    def succeeded(self, *, as_list: bool) -> None:
        """The worker said `done`."""
        self.prediction.succeed(trio.current_time(), as_list=as_list)
        self._over()

    def failed(self, error: str) -> None:
        """It ended without a result."""
        self.prediction.fail(trio.current_time(), error)
        self._over()

    def canceled(self) -> None:
        """It was stopped, or never began."""
        self.prediction.cancel(trio.current_time())
        self._over()

    def _stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
        if self.delivery is not None:
            self.delivery.abort()

    def _over(self) -> None:
        if self.delivery is not None:
            self.delivery.abort()
            self.delivery = None
        # It leads back here: what big outputs weigh must not wait for the garbage collector.
        self.prediction.on_event = None
        self._notify_over(self)
        for waiter in self._waiters:
            waiter.close()
        self._waiters.clear()
