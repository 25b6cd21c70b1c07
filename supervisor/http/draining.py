"""The state of a server that is about to end, and the count of what it still has to answer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Draining"]


class Draining:
    """Shared by whoever ends the program and the HTTP server.

    `begin()`, then wait for the predictions, then `wait_answered()`, then cancel `serve_http`:
    so every accepted request gets its whole answer.
    """

    def __init__(self) -> None:
        self.begun: bool = False
        """Whether new requests are answered with 503 and `connection: close`."""
        self._open = 0
        self._answered = trio.lowlevel.ParkingLot()

    def begin(self) -> None:
        """Refuse every new request from now on, except those that cancel a prediction."""
        self.begun = True

    @property
    def open_requests(self) -> int:
        """Requests whose answer has not been written to its end."""
        return self._open

    async def wait_answered(self) -> None:
        """Wait until no request is open; a client that does not read is bounded elsewhere."""
        await trio.lowlevel.checkpoint()
        while self._open:
            await self._answered.park()

    @contextmanager
    def request(self) -> Iterator[None]:
        """A request is open inside."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._answered.unpark_all()
