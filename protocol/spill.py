"""Payloads that are too big for a frame, in files.

A spill file is written by one side, named in a message, and read and removed by the other. It is
private to the user and lies directly in a folder that both sides know beforehand; the reader opens
nothing else, whatever the message says.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from protocol.errors import SpillRefused, SpillTooLarge
from protocol.regular_file import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["input_folder", "read_spill", "remove_spill", "write_spill"]


def input_folder(output_dir: str) -> str:
    """Where the spilled input of a prediction lies, whose outputs go to `output_dir`."""
    return os.path.join(os.path.dirname(output_dir.rstrip(os.sep)), "inputs")


def write_spill(directory: str, payload: bytes) -> str:
    """Write `payload` to a new file in `directory`, mode 0600, and return its path.

    Raises:
        OSError: it could not be written; nothing is left behind.
    """
    path = os.path.join(directory, f"spill_{uuid.uuid4()}.json")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb", buffering=0) as file:
            view = memoryview(payload)
            while view:
                view = view[file.write(view) :]
    except OSError:
        os.unlink(path)
        raise
    return path


def read_spill(directory: str, path: str, limit: int | None = None) -> bytes:
    """Read the spill file `path`, which has to lie directly in `directory`, and remove it.

    Args:
        directory: where it has to lie.
        path: where the message says that it lies.
        limit: bytes; a larger file is neither read nor removed.

    Raises:
        SpillTooLarge: it is larger than `limit`.
        SpillRefused: it lies elsewhere, is not a regular file, or cannot be read.
    """
    with _folder_and_name(directory, path) as (folder, name):
        return _read_and_remove(folder, name, limit)


def remove_spill(directory: str, path: str) -> None:
    """Remove the spill file `path`, which has to lie directly in `directory`, unread.

    Raises:
        SpillRefused: it lies elsewhere, or cannot be removed.
    """
    with _folder_and_name(directory, path) as (folder, name):
        os.unlink(name, dir_fd=folder)


@contextmanager
def _folder_and_name(directory: str, path: str) -> Iterator[tuple[int, str]]:
    """The folder, opened, and the name in it. What fails with them is refused."""
    name = os.path.basename(path)
    if os.path.normpath(path) != os.path.join(os.path.normpath(directory), name) or not name:
        raise SpillRefused(f"spill file {path!r} does not lie in {directory!r}")
    try:
        folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise SpillRefused(f"folder of spill file {path!r} cannot be opened: {error}") from error
    try:
        yield folder, name
    except (OSError, ValueError) as error:
        raise SpillRefused(f"spill file {path!r} cannot be read: {error}") from error
    finally:
        os.close(folder)


def _read_and_remove(folder: int, name: str, limit: int | None) -> bytes:
    def opener(path: str, flags: int) -> int:
        return open_regular(path, flags | os.O_NOFOLLOW, dir_fd=folder)

    with open(name, "rb", opener=opener) as file:
        if limit is not None and os.fstat(file.fileno()).st_size > limit:
            raise SpillTooLarge(f"spill file {name!r} is larger than {limit} bytes")
        data = file.read()
    os.unlink(name, dir_fd=folder)
    return data
