"""Owns the worker's stdin and stdout: one task reads, one task writes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from protocol.codec import decode_control_response, encode_control_request
from protocol.errors import RemoteProtocolError
from protocol.messages import ControlRequest
from supervisor.message_reader import MessageReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.messages import ControlResponse, Shutdown
    from supervisor.telemetry import Telemetry

__all__ = ["ControlChannel"]


class ControlChannel:
    """The control channel of one worker.

    Args:
        stream: reads the worker's stdout, writes its stdin.
        telemetry: is told of unknown messages.
    """

    def __init__(self, stream: trio.abc.Stream, telemetry: Telemetry) -> None:
        self._stream = stream
        self._reader = MessageReader(stream, "control channel", decode_control_response, telemetry)
        # Without a limit, so that whoever sends never waits. What can pile up is small: an `init`,
        # a cancel now and then, one healthcheck at a time, one `shutdown`.
        self._outbox, self._pending = trio.open_memory_channel[ControlRequest](math.inf)

    def send(self, message: ControlRequest) -> None:
        """Let `message` be written. Does nothing once the channel is closed for writing."""
        try:
            self._outbox.send_nowait(message)
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return

    def send_last(self, message: Shutdown) -> None:
        """Let `message` be written, and nothing after it."""
        self.send(message)
        self._outbox.close()

    async def write(self) -> None:
        """Write what was sent, until `send_last` or until the worker reads no more."""
        with self._pending:
            async for message in self._pending:
                try:
                    await self._stream.send_all(memoryview(encode_control_request(message)))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    # The worker is gone, or about to be; the task that reads it will say so.
                    return

    async def read(self, handle: Callable[[ControlResponse], None]) -> None:
        """Give each message to `handle`, until the worker closes the channel.

        Raises:
            RemoteProtocolError: a frame is malformed, or `handle` refused a message; it says where.
        """
        while (message := await self._reader.next()) is not None:
            try:
                handle(message)
            except RemoteProtocolError as error:
                raise self._reader.located(error) from None
