"""A file as the body of a request, and the deadline that moves on while it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import httpx
import trio

if TYPE_CHECKING:
    from supervisor.outputs import OutputFile

__all__ = ["Content", "Progress"]

_PIECE: Final = 256 * 1024
"""Bytes that are read, and have to be taken, at once."""


class Progress:
    """The deadline of a try, which moves on with it.

    Args:
        scope: of the try.
        timeout: seconds until it is over without progress.
        total: seconds until it is over in any case.
    """

    def __init__(self, scope: trio.CancelScope, timeout: float, total: float) -> None:
        self._scope = scope
        self._timeout = timeout
        self._latest = trio.current_time() + total
        self.made()

    @property
    def is_too_slow(self) -> bool:
        """Whether it is not the last piece that takes too long, but all of the try."""
        return self._scope.deadline == self._latest

    def made(self) -> None:
        """Something has been taken."""
        self._scope.deadline = min(trio.current_time() + self._timeout, self._latest)


class Content(httpx.AsyncByteStream):
    """A file as the body of a request; read from its beginning each time it is asked for."""

    def __init__(self, file: OutputFile, progress: Progress) -> None:
        self._file = file
        self._progress = progress

    def __aiter__(self) -> _Pieces:
        return _Pieces(self._file, self._progress)


class _Pieces:
    """One reading of a file. No generator: one that is left alone would end nobody knows when."""

    def __init__(self, file: OutputFile, progress: Progress) -> None:
        self._file = file
        self._progress = progress
        self._offset = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._progress.made()
        left = self._file.size - self._offset
        if left == 0:
            raise StopAsyncIteration
        piece = await trio.to_thread.run_sync(self._file.read, self._offset, min(_PIECE, left))
        if not piece:
            raise self._file.changed()
        self._offset += len(piece)
        return piece
