"""The content of a file, copied piece by piece: in the kernel where it can, holes left out."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Method = Callable[[int, int, int, int], int]
    """Copies from one descriptor to another at most so many bytes at a position: how many."""

__all__ = ["copy_content"]

_PIECE: Final = 32 * 1024 * 1024
"""Bytes that the kernel is asked to copy at once."""

_READ: Final = 1024 * 1024
"""Bytes that are read at once, where it cannot."""

_NOT_THIS_WAY: Final = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF}
)
"""What a method says that the two file systems, or a sandbox, do not know."""


def copy_content(source: int, target: int, go_on: Callable[[], None]) -> None:
    """Copy all that can be read from the descriptor `source` into the empty file `target`.

    `go_on` is called before each piece, and may raise to end it.

    Raises:
        OSError: one of the two cannot be read or written.
    """
    size = os.fstat(source).st_size
    for start, end in _extents(source, size):
        _copy_extent(source, target, start, end, go_on)
    os.ftruncate(target, size)
    # It may have grown meanwhile; and what the kernel makes up (/proc) has no size.
    while copied := _by_hand(source, target, _READ, size):
        size += copied
        go_on()


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where in a file there is data: begin and end of each stretch between its holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
            end = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # that: nothing but a hole is left
                yield position, size  # not every file system can tell
            return
        yield start, min(end, size)
        position = end


def _copy_extent(source: int, target: int, start: int, end: int, go_on: Callable[[], None]) -> None:
    methods: list[Method] = [_by_hand, _by_sendfile, _by_copy_file_range]
    position = start
    while position < end and methods:
        go_on()
        try:
            copied = methods[-1](source, target, min(_PIECE, end - position), position)
        except OSError as error:
            if error.errno not in _NOT_THIS_WAY or len(methods) == 1:
                raise
            copied = 0
        if not copied:
            methods.pop()
        position += copied


def _by_copy_file_range(source: int, target: int, size: int, position: int) -> int:
    return os.copy_file_range(source, target, size, position, position)


def _by_sendfile(source: int, target: int, size: int, position: int) -> int:
    os.lseek(target, position, os.SEEK_SET)
    return os.sendfile(target, source, position, size)


def _by_hand(source: int, target: int, size: int, position: int) -> int:
    return os.pwrite(target, os.pread(source, min(size, _READ), position), position)
