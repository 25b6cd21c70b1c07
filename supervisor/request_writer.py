"""Writes one request to a slot socket, whole, whatever becomes of the prediction meanwhile.

Half a frame would be the end of the socket, so a cancellation waits for the rest, within limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from supervisor.ending import Cause

if TYPE_CHECKING:
    from supervisor.config import Times

__all__ = ["RequestWriter"]

_FITS_IN_SOCKET: Final = 64 * 1024
"""Bytes that the empty buffer of an idle slot's socket surely takes at once."""


class RequestWriter:
    """One write. Afterwards, also when it was cancelled, `problem` says how it went.

    Args:
        stream: the socket.
        name: the slot's, for the problem.
        times: how long it may take.
    """

    def __init__(self, stream: trio.abc.SendStream, name: str, times: Times) -> None:
        self._stream = stream
        self._name = name
        self._times = times
        self.problem: tuple[Cause, str] | None = None
        """Why the request was not written whole, so that no worker will ever read it."""

    async def write(self, frame: bytearray) -> None:
        """Write `frame`. A cancellation comes out when it is written, or can't be."""
        if len(frame) <= _FITS_IN_SOCKET:
            deadline = trio.current_time() + self._times.idle_grace
            await self._send(frame, trio.CancelScope(deadline=deadline, shield=True))
            return
        # It is written as it is read. An event loop that is busy with a neighbour may read late,
        # and nothing is wrong with that: only a cancellation sets a limit.
        sending = trio.CancelScope(shield=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_limit_once_cancelled, sending, self._times.cancel_grace)
            await self._send(frame, sending)
            nursery.cancel_scope.cancel()

    async def _send(self, frame: bytearray, scope: trio.CancelScope) -> None:
        with scope:
            try:
                await self._stream.send_all(memoryview(frame))
            except trio.BrokenResourceError:
                # The worker is dead, or about to be; how it died will say more than this.
                self.problem = Cause.CHANNEL_CLOSED, self._name
        if scope.cancelled_caught:
            self.problem = Cause.STUCK, f"{self._name} does not read"


async def _limit_once_cancelled(scope: trio.CancelScope, grace: float) -> None:
    try:
        await trio.sleep_forever()
    finally:
        scope.deadline = trio.current_time() + grace
