"""Regular files only, opened without a wait: for paths that somebody else has chosen.

A FIFO would be waited for until somebody writes, a device may never end.
"""

from __future__ import annotations

import errno
import os
import stat

__all__ = ["NotRegularFile", "open_regular"]


class NotRegularFile(OSError):
    """What is to be read is a FIFO, a device or a socket."""

    def __init__(self, path: str | bytes) -> None:
        super().__init__(errno.EINVAL, "not a regular file", os.fsdecode(path))

    def __str__(self) -> str:
        return f"{self.filename!r} is {self.strerror}"


def open_regular(path: str | bytes, flags: int, *, dir_fd: int | None = None) -> int:
    """An `opener` for `open`: like `os.open`, for regular files only.

    Raises:
        NotRegularFile: it is something else.
        OSError: it cannot be opened, or is a folder.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK, dir_fd=dir_fd)
    try:
        _check(os.fstat(descriptor).st_mode, path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(mode: int, path: str | bytes) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise NotRegularFile(path)
