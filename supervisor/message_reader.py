"""Messages out of a byte stream: what the control channel and every slot socket are read with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import trio

from protocol.errors import RemoteProtocolError, UnknownMessageType
from protocol.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.telemetry import Telemetry

__all__ = ["MessageReader", "discard"]

M = TypeVar("M")
_CHUNK: Final = 64 * 1024
"""Bytes asked for at once: as much as Trio's own default."""


class MessageReader(Generic[M]):
    """Reads one channel of a worker.

    Args:
        stream: where the bytes come from.
        channel: the channel's name, for errors.
        decode: turns a frame's payload into a message.
        telemetry: is told of unknown messages.
    """

    def __init__(
        self,
        stream: trio.abc.ReceiveStream,
        channel: str,
        decode: Callable[[memoryview], M],
        telemetry: Telemetry,
    ) -> None:
        self._stream = stream
        self._channel = channel
        self._decode = decode
        self._telemetry = telemetry
        self._decoder = FrameDecoder()
        self._ended = False
        self._unknown: set[str] = set()
        self.frame_size = 0
        """Bytes of JSON in the message that was read last."""

    async def next(self) -> M | None:
        """The next message, or None when the worker has closed the channel.

        A checkpoint only when it has to read.

        Raises:
            RemoteProtocolError: what was read is not a message; the error says where.
        """
        while True:
            try:
                message = self._next_decoded()
            except RemoteProtocolError as error:
                raise self.located(error) from None
            if message is not None or self._ended:
                return message
            try:
                data = await self._stream.receive_some(_CHUNK)
            except trio.BrokenResourceError:
                # A reset instead of an end: the worker died with unread data of ours.
                data = b""
            self._ended = not data
            self._decoder.receive_data(data)

    def located(self, error: RemoteProtocolError) -> RemoteProtocolError:
        """`error`, with the place of the message that was read last."""
        return error.at(self._channel, self._decoder.frame_offset)

    def _next_decoded(self) -> M | None:
        while (frame := self._decoder.next_frame()) is not None:
            self.frame_size = len(frame)
            try:
                return self._decode(frame)
            except UnknownMessageType as error:
                self._skip(error.type_name)
        return None

    def _skip(self, type_name: str) -> None:
        # A lying worker must not fill our memory with names.
        if type_name not in self._unknown and len(self._unknown) < 100:
            self._unknown.add(type_name)
            self._telemetry.unknown_message(self._channel, type_name[:100])


async def discard(stream: trio.abc.ReceiveStream) -> None:
    """Read and drop what a worker still writes, so that it is not stuck writing to nobody."""
    try:
        while await stream.receive_some(_CHUNK):
            pass
    except trio.BrokenResourceError:
        return
