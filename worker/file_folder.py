"""A folder for files that come from several threads, and that is gone when it is removed."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from worker.thread_interrupter import this_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileFolder", "FolderRemoved"]

REMOVE_PATIENCE: Final = 5.0
"""Seconds that whoever still writes has, once it was told to end. What it has open then goes all
the same; the next prediction does not wait for it."""


class FolderRemoved(Exception):
    """It is too late for another file."""


class FileFolder:
    """Files below one private folder, which is made when the first one comes.

    No file appears after `remove`, and none is left: a prediction that was cancelled is over before
    the threads are that fetch its files. An exception that is left with the calling thread comes
    out before anything was done, or when all is done: the lock and the count are not left behind.

    Args:
        parent: where the folder is made; None, or where nothing can be made: where temporary files
            lie.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._changed = threading.Condition()
        self._folder: str | None = None
        self._count = 0
        self._writing = 0
        self._removed = False

    def new_path(self, name: str) -> str:
        """The path for a new file called `name`, in a folder of its own.

        Raises:
            FolderRemoved: there is no place for it.
        """
        with this_thread.shield:
            return self._new_path(name)

    def _new_path(self, name: str) -> str:
        with self._changed:
            self._check()
            if self._folder is None:
                # Asked only now: most predictions have no files.
                parent = self._parent
                usable = parent is not None and os.access(parent, os.W_OK | os.X_OK)
                self._folder = tempfile.mkdtemp(prefix="files-", dir=parent if usable else None)
            folder = os.path.join(self._folder, str(self._count))
            self._count += 1
            os.mkdir(folder, 0o700)
            return os.path.join(folder, name)

    def write(self, path: str, content: bytes) -> None:
        """Make a whole file. Raises `FolderRemoved` as `new_path`."""
        with this_thread.shield:
            self._write(path, content)

    def _write(self, path: str, content: bytes) -> None:
        with self.writing(path) as file:
            file.write(content)

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """Make a file, or begin it anew; on a thread that no `Cancel` interrupts.

        Raises:
            FolderRemoved: as `new_path`.
        """
        with self._changed:
            self._check()
            self._writing += 1
        try:
            with open(path, "wb") as file:
                yield file
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()

    def remove(self) -> None:
        """Remove all there is, once nobody writes any more: whoever does has to be told before."""
        with self._changed:
            self._removed = True
            self._changed.wait_for(lambda: self._writing == 0, REMOVE_PATIENCE)
            folder, self._folder = self._folder, None
        if folder is not None:
            # The model may have moved or removed what is in it.
            shutil.rmtree(folder, ignore_errors=True)

    def _check(self) -> None:
        if self._removed:
            raise FolderRemoved("the prediction has ended")
