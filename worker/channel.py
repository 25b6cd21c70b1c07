"""One channel of the wire inside the worker: whole frames out from any thread, frames in on one.

Both directions block; the kernel's buffers are the only queue.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from protocol.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FrameReader", "FrameWriter"]

_CHUNK = 64 * 1024
_BIG_CHUNK = 1024 * 1024
"""Bytes that one read asks for: usually, and in the middle of a frame."""


class FrameWriter:
    """Writes whole frames, from any thread, in the order in which they came.

    It may be entered again by the thread that is writing: a signal handler or a finaliser of the
    model's that prints. What comes that way is written behind what is being written.
    """

    def __init__(
        self,
        write: Callable[[memoryview], int],
        on_cut: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Make a writer.

        `write` writes some of the bytes, blocking, and returns how many. `on_cut` is told that an
        exception has come out of the blue, so that nothing will ever be written again.
        """
        self._write = write
        self._on_cut = on_cut
        self.lock = threading.RLock()
        """Held while a frame is written; what belongs to the order of frames may hold it too."""
        self._waiting: deque[bytes | bytearray] = deque()
        self._writing = False
        self.broken: BaseException | None = None
        """Why nothing is written any more: the peer is gone, or a frame was left half written."""

    def send(self, frames: bytes | bytearray) -> None:
        """Write one or several whole frames. Does nothing once the channel is broken."""
        with self.lock:
            self._waiting.append(frames)
            if self._writing:
                return
            self._writing = True
            try:
                while self._waiting and self.broken is None:
                    self._write_all(memoryview(self._waiting.popleft()))
            finally:
                self._writing = False
                if self.broken is not None:
                    self._waiting.clear()

    def _write_all(self, rest: memoryview) -> None:
        try:
            while rest:
                rest = rest[self._write(rest) :]
        except OSError as error:
            self.broken = error
        except BaseException as error:
            # Code of the model raises in other threads (`PyThreadState_SetAsyncExc`): how much was
            # written is lost.
            self.broken = error
            self._on_cut(error)
            raise

    def renew_lock(self) -> None:
        """In a forked child: the lock may be held by a thread that does not exist here."""
        self.lock = threading.RLock()
        self.broken = BrokenPipeError("this is a forked child")


class FrameReader:
    """Reads frames, on one thread."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read` returns at most so many bytes; none at the end."""
        self._read = read
        self._decoder = FrameDecoder()
        self._inside = False

    @property
    def offset(self) -> int:
        """Where in the stream, in bytes, the last frame began."""
        return self._decoder.frame_offset

    def next_frame(self) -> memoryview | None:
        """Wait for one frame. None: the channel has ended.

        Raises:
            RemoteProtocolError: what came is not a frame, or the channel ended inside one.
            OSError: the channel cannot be read.
        """
        while True:
            frame = self.next_frame_nowait()
            if frame is not None:
                return frame
            if not self.read_more():
                return self.next_frame_nowait()  # raises, if the end came inside a frame

    def next_frame_nowait(self) -> memoryview | None:
        """A frame that has been read already. None: there is none.

        Raises:
            RemoteProtocolError: what came is not a frame.
        """
        frame = self._decoder.next_frame()
        if frame is not None:
            self._inside = False
        return frame

    def read_more(self) -> bool:
        """Read once. False: the channel has ended.

        Raises:
            OSError: the channel cannot be read.
        """
        data = self._read(_BIG_CHUNK if self._inside else _CHUNK)
        self._decoder.receive_data(data)
        self._inside = self._inside or len(data) == _CHUNK
        return bool(data)
