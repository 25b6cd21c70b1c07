"""One channel of the wire inside the worker: whole frames out from any thread, frames in on one.

Both directions block; the kernel's buffers are the only queue.
"""

from __future__ import annotations

import threading
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from protocol.framing import FrameDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.later import Later

__all__ = ["FrameReader", "FrameWriter"]

Frames = bytes | bytearray
_PAUSE: Final = 0.01
"""Seconds that frames wait for others at most."""

_AT_ONCE: Final = 20
"""How often in such a time frames do not wait. What waits is lost with a process that crashes, and
what was said last is what tells why; so only a flood waits."""

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
        later: Later,
        on_cut: Callable[[BaseException], None] = lambda _: None,
    ) -> None:
        """Make a writer.

        `write` writes some of the bytes, blocking, and returns how many. `later` is this writer's
        alone. `on_cut` is told that an exception has come out of the blue, so that nothing will
        ever be written again.
        """
        self._write = write
        self._on_cut = on_cut
        self.later = later
        self.lock = threading.RLock()
        """Held while a frame is written; what belongs to the order of frames may hold it too."""
        self._waiting: deque[Frames | Callable[[], Frames]] = deque()
        self._postponed: deque[Callable[[], Frames]] = deque()
        self._counts_from = float("-inf")
        self._at_once = 0
        self._writing = False
        self.broken: BaseException | None = None
        """Why nothing is written any more: the peer is gone, or a frame was left half written."""

    def send(self, frames: Frames) -> None:
        """Write one or several whole frames. Does nothing once the channel is broken."""
        with self.lock:
            self._queue_postponed()
            self._waiting.append(frames)
            self._write_waiting()

    def postpone(self, make: Callable[[], Frames]) -> None:
        """Have what `make` then answers written, before anything that is sent from now on.

        A flood goes out in few writes so. What comes now and then is written at once.
        """
        with self.lock:
            self._postponed.append(make)
            now = monotonic()
            if now - self._counts_from >= _PAUSE:
                self._counts_from, self._at_once = now, 0
            self._at_once += 1
            if self._at_once <= _AT_ONCE:
                self.send_postponed()
            else:
                self.later.call(_PAUSE, self.send_postponed)

    def send_postponed(self) -> None:
        """Write what was postponed, if anything was."""
        if self._postponed:
            with self.lock:
                self._queue_postponed()
                self._write_waiting()

    def _queue_postponed(self) -> None:
        while self._postponed:
            self._waiting.append(self._postponed.popleft())

    def _write_waiting(self) -> None:
        if self._writing:
            return
        self._writing = True
        try:
            while self._waiting and self.broken is None:
                frames = self._waiting.popleft()
                self._write_all(memoryview(frames() if callable(frames) else frames))
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
