"""Length-prefixed frames, without I/O: bytes in, payloads out.

A frame is a 4-byte big-endian length and then so many bytes of JSON. The decoder is fed chunks as
they come from a socket. A frame that lies whole in one chunk is handed out as a view of that
chunk; one that does not is gathered once into a buffer of its own size. No byte is copied twice
and nothing is scanned again.
"""

from __future__ import annotations

import struct
from collections import deque

from protocol.errors import FrameTooLarge, FrameTruncated, MessageTooLarge, RemoteProtocolError
from protocol.limits import FRAME_MAX, HEADER_SIZE

__all__ = ["FrameDecoder", "encode_frame", "write_header"]

_LENGTH = struct.Struct(">I")


def write_header(frame: bytearray) -> None:
    """Fill in the length at the start of `frame`, whose payload begins at `HEADER_SIZE`.

    Raises:
        MessageTooLarge: the payload is longer than a frame may be.
    """
    size = len(frame) - HEADER_SIZE
    if size > FRAME_MAX:
        raise MessageTooLarge(f"message of {size} bytes; a frame holds at most {FRAME_MAX}")
    _LENGTH.pack_into(frame, 0, size)


def encode_frame(payload: bytes) -> bytearray:
    """The frame that carries `payload`.

    Raises:
        MessageTooLarge: it is longer than a frame may be.
    """
    frame = bytearray(HEADER_SIZE) + payload
    write_header(frame)
    return frame


class FrameDecoder:
    """Cuts a byte stream into frames.

    Feed it with `receive_data`, then call `next_frame` until it answers None. Once it has raised,
    it raises the same error again: after a broken frame nothing can be trusted.
    """

    def __init__(self, limit: int = FRAME_MAX) -> None:
        self._limit = limit
        self._chunks: deque[memoryview] = deque()
        self._header = bytearray()
        self._body: bytearray | None = None
        self._filled = 0
        self._ended = False
        self._consumed = 0
        self._broken: RemoteProtocolError | None = None
        self.frame_offset = 0
        """Where in the stream, in bytes, the frame begins that was last handed out or refused."""

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take a chunk as it was read. It must not change afterwards. Empty: the stream ended."""
        if len(data):
            self._chunks.append(memoryview(data))
        else:
            self._ended = True

    def next_frame(self) -> memoryview | None:
        """The payload of the next frame, or None when more data is needed (or the stream ended).

        Raises:
            FrameTooLarge: a header announces more than the limit.
            FrameTruncated: the stream ended inside a frame.
        """
        if self._broken is not None:
            raise self._broken
        try:
            return self._next_frame()
        except RemoteProtocolError as error:
            self._broken = error
            self._chunks.clear()
            raise

    def _next_frame(self) -> memoryview | None:
        if self._body is None:
            size = self._read_header()
            if size is None:
                self._check_end(len(self._header))
                return None
            if self._chunks and len(self._chunks[0]) >= size:
                return self._finish(self._take(size), size)
            if size == 0:
                return self._finish(memoryview(b""), 0)
            self._body = bytearray(size)
            self._filled = 0
        missing = len(self._body) - self._filled
        while missing and self._chunks:
            piece = self._take(min(missing, len(self._chunks[0])))
            self._body[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            missing -= len(piece)
        if missing:
            self._check_end(HEADER_SIZE + self._filled)
            return None
        body, self._body = self._body, None
        return self._finish(memoryview(body), len(body))

    def _read_header(self) -> int | None:
        if not self._header and self._chunks and len(self._chunks[0]) >= HEADER_SIZE:
            size: int = _LENGTH.unpack_from(self._take(HEADER_SIZE))[0]
        else:
            while len(self._header) < HEADER_SIZE and self._chunks:
                wanted = HEADER_SIZE - len(self._header)
                self._header += self._take(min(wanted, len(self._chunks[0])))
            if len(self._header) < HEADER_SIZE:
                return None
            size = _LENGTH.unpack(self._header)[0]
            self._header.clear()
        self.frame_offset = self._consumed
        if size > self._limit:
            raise FrameTooLarge(f"frame of {size} bytes announced; the limit is {self._limit}")
        return size

    def _take(self, size: int) -> memoryview:
        first = self._chunks[0]
        if len(first) == size:
            return self._chunks.popleft()
        self._chunks[0] = first[size:]
        return first[:size]

    def _finish(self, payload: memoryview, size: int) -> memoryview:
        self._consumed += HEADER_SIZE + size
        return payload

    def _check_end(self, have: int) -> None:
        if self._ended and have:
            self.frame_offset = self._consumed
            raise FrameTruncated(f"the channel ended {have} bytes into a frame")
