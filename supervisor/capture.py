"""The pipe that a worker's fd 2 writes to, and what is left in it when the worker is dead."""

from __future__ import annotations

import fcntl
import os
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from protocol.limits import CAPTURE_PIPE

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["LAST_WORDS_MAX", "CapturePipe"]

LAST_WORDS_MAX: Final = 64 * 1024
"""Bytes of last words that are kept: the end of what was written."""

_CHUNK: Final = 64 * 1024
_REST_MAX: Final = 4 * 1024 * 1024
"""Bytes that are read after the worker's death; more than a pipe holds.

A descendant that lives on and writes without end is not read for ever."""


class CapturePipe:
    """A pipe, both ends close-on-exec. Our own worker reads it as long as it lives and can.

    The read end never blocks: what one of the two readers sees, the other may take.

    Raises:
        OSError: no descriptors left.
    """

    def __init__(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        with suppress(OSError):  # the user has no more of that memory: a smaller one will do
            fcntl.fcntl(self._read_end, fcntl.F_SETPIPE_SZ, CAPTURE_PIPE)
        self._open = {self._read_end, self._write_end}
        self._tail = b""

    @property
    def read_end(self) -> int:
        """The descriptor to read from. Its status flags are shared with the worker."""
        return self._read_end

    @property
    def write_end(self) -> int:
        """The descriptor that becomes the worker's fd 2."""
        return self._write_end

    @property
    def inode(self) -> int:
        """The pipe's number, by which `/proc/<pid>/fd` shows who holds it."""
        return os.fstat(self._read_end).st_ino

    def __enter__(self) -> CapturePipe:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close_write_end()
        self._close(self._read_end)

    def close_write_end(self) -> None:
        """Leave the write end to the worker. May be called again."""
        self._close(self._write_end)

    def _close(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)

    async def drain(self, on_line: Callable[[str], None]) -> None:
        """Read until end-of-file or cancelled, for a worker that does not read the pipe itself.

        Args:
            on_line: gets each line without its end; a line longer than 64 kB comes in pieces.
        """
        line = b""
        while chunk := await self.read():
            *lines, line = (line + chunk).split(b"\n")
            if len(line) >= _CHUNK:
                lines.append(line)
                line = b""
            for complete in lines:
                on_line(complete.decode("utf-8", "replace"))
        if line:
            on_line(line.decode("utf-8", "replace"))

    async def read(self) -> bytes:
        """Wait for what the worker writes, and take it; at most 64 kB, empty at the end-of-file.

        Its end is kept for `last_words`, until `forget`.
        """
        while True:
            await trio.lowlevel.wait_readable(self._read_end)
            with suppress(BlockingIOError):
                chunk = os.read(self._read_end, _CHUNK)
                break
        self._keep(chunk)
        return chunk

    def forget(self) -> None:
        """What was read until now will not be among the last words: the worker goes on."""
        self._tail = b""

    def is_nearly_full(self) -> bool:
        """Whether so much waits to be read that a writer may be stuck.

        A pipe is full when its pages are, and half of each may be empty: what is written in pieces
        of a little more than half a page gets a page each.
        """
        waiting = fcntl.ioctl(self._read_end, termios.FIONREAD, bytes(4))
        capacity = fcntl.fcntl(self._read_end, fcntl.F_GETPIPE_SZ)
        return int.from_bytes(waiting, sys.byteorder) >= capacity // 4

    def read_rest(self) -> str:
        """What nobody has read yet, at most the last 64 kB. Only when the worker is dead.

        Never blocks: a descendant of the worker may live on and keep the pipe open.
        """
        kept, self._tail = self._tail, b""
        rest = _REST_MAX
        with suppress(BlockingIOError):
            while rest > 0 and (chunk := os.read(self._read_end, _CHUNK)):
                self._keep(chunk)
                rest -= len(chunk)
        unread, self._tail = self._tail, kept
        self._keep(unread)
        return unread.decode("utf-8", "replace")

    def last_words(self) -> str:
        """The last 64 kB of what the worker has not read itself; after `read_rest`."""
        return self._tail.decode("utf-8", "replace")

    def _keep(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-LAST_WORDS_MAX:]
