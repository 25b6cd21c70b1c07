"""The sending half of a client's connection: small writes together, and none for ever.

Hypercorn sends under a shield without a limit. Here each 64 KiB have `write_timeout`; a client
that does not take them in that time is cut off.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from supervisor.config import Times

__all__ = ["CHUNK", "TimedSender"]

CHUNK: Final = 64 * 1024
"""Bytes that are sent at a time."""


class TimedSender:
    """Sends to one client.

    Args:
        stream: the connection itself.
        times: `write_timeout` counts.
    """

    def __init__(self, stream: trio.abc.Stream, times: Times) -> None:
        self._stream = stream
        self._write_timeout = times.write_timeout
        self._sending: trio.CancelScope | None = None
        self._held: bytearray | None = None
        self._until = math.inf
        self.is_lost = False
        """Whether nothing can be sent, or should: the client has gone, or is treated so."""

    @property
    def is_sending(self) -> bool:
        """Whether a write is under way."""
        return self._sending is not None

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or keep it if it is little and `hold` was called.

        Raises:
            trio.BrokenResourceError: the connection is lost, or the client does not read.
        """
        if self._held is not None and len(self._held) + len(data) <= CHUNK:
            self._held += data
            return
        await self._send_held()
        await self._send_pieces(data)

    def hold(self) -> None:
        """Keep what is sent from now on, if it is little, until `release`.

        Hypercorn sends the head of an answer, its body and its end one by one; three small writes
        cost as many calls into the kernel, and wake up the client as often.
        """
        if self._held is None:
            self._held = bytearray()

    async def release(self) -> None:
        """Send what was kept, together. That the client has gone is seen in `is_lost` only."""
        try:
            await self._send_held()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.is_lost = True
        finally:
            self._held = None

    def hurry(self, seconds: float) -> None:
        """The server ends: what is being sent, and what comes after it, has `seconds` together."""
        self._until = trio.current_time() + seconds
        if self._sending is not None:
            self._sending.deadline = min(self._sending.deadline, self._until)

    async def _send_held(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            await self._send_pieces(held)

    async def _send_pieces(self, data: bytes | bytearray | memoryview) -> None:
        with memoryview(data) as view:
            for start in range(0, len(view), CHUNK):
                if self.is_lost:
                    raise trio.BrokenResourceError("the client has gone")
                await self._send_in_time(view[start : start + CHUNK])

    async def _send_in_time(self, piece: memoryview) -> None:
        until = min(trio.current_time() + self._write_timeout, self._until)
        try:
            with trio.CancelScope(deadline=until) as self._sending:
                await self._stream.send_all(piece)
            late = self._sending.cancelled_caught
        finally:
            self._sending = None
        if late:
            self.is_lost = True
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the client does not read its answer")
