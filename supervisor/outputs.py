"""Outputs that come in files: opened only where they may lie, read in a thread, in order."""

from __future__ import annotations

import base64
import mimetypes
import os
from typing import TYPE_CHECKING, Any

import trio

from protocol.errors import RemoteProtocolError, SpillTooLarge
from protocol.json_text import loads
from protocol.messages import FileKind
from protocol.regular_file import open_regular
from protocol.spill import read_spill

if TYPE_CHECKING:
    from protocol.messages import FileOutput

__all__ = ["OutputUnreadable", "collect_file"]


class OutputUnreadable(Exception):
    """A file output cannot be had. The text names the file and the reason, for the client."""


async def collect_file(
    message: FileOutput, *, output_dir: str, anywhere: bool, limit: int
) -> tuple[Any, int]:
    """The value of a file output, and its size as JSON in bytes.

    A spilled value is parsed and its file removed; any other file becomes a data URL.

    Args:
        message: what the worker said.
        output_dir: the prediction's own output folder.
        anywhere: whether a file of the model may lie elsewhere (foreign workers leave it there).
        limit: bytes; a larger file is not read.

    Raises:
        OutputUnreadable: the file is missing, not regular, too big, or lies where it must not.
    """
    return await trio.to_thread.run_sync(_collect, message, output_dir, anywhere, limit)


def _collect(message: FileOutput, output_dir: str, anywhere: bool, limit: int) -> tuple[Any, int]:
    if message.kind is FileKind.OVERSIZED:
        try:
            payload = read_spill(output_dir, message.filename, limit)
            return loads(payload), len(payload)
        except SpillTooLarge as error:
            too_large = f"Output is larger than {limit} bytes (--max-output)"
            raise OutputUnreadable(too_large) from error
        except RemoteProtocolError as error:
            raise OutputUnreadable(f"Output cannot be read: {error}") from error
    path = message.filename if anywhere else _inside(message.filename, output_dir)
    data = _read(path, limit)
    mime_type = message.mime_type or mimetypes.guess_type(message.filename)[0]
    url = f"data:{mime_type or 'application/octet-stream'};base64,{base64.b64encode(data).decode()}"
    return url, len(url) + 2


def _inside(path: str, folder: str) -> str:
    """The real path of `path`, if that lies in `folder`."""
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError) as error:  # a NUL in it, for example
        raise _unreadable(path, error) from error
    if not real.startswith(os.path.join(os.path.realpath(folder), "")):
        raise OutputUnreadable(f"Output file {path!r} lies outside the prediction's folder")
    return real


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb", opener=open_regular) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise OutputUnreadable(
                    f"Output file {path!r} is larger than {limit} bytes (--max-output)"
                )
            data = file.read(size + 1)
            if len(data) > size:  # it grew meanwhile, or is one of those in /proc
                raise OutputUnreadable(f"Output file {path!r} changed while it was read")
            return data
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError | ValueError) -> OutputUnreadable:
    reason = getattr(error, "strerror", None) or error
    return OutputUnreadable(f"Output file {path!r} cannot be read: {reason}")
