"""Outputs that come in files: opened only where they may lie, read in a thread, in order."""

from __future__ import annotations

import base64
import mimetypes
import os
import re
from typing import TYPE_CHECKING, Any, Final, Self

import trio
from attrs import frozen

from protocol.errors import RemoteProtocolError, SpillTooLarge
from protocol.json_text import loads
from protocol.messages import FileKind
from protocol.regular_file import open_regular
from protocol.spill import read_spill

if TYPE_CHECKING:
    from protocol.messages import FileOutput

__all__ = ["OutputFile", "OutputUnreadable", "collect_file", "open_file"]

_PIECE: Final = 64 * 1024 * 1024
"""Bytes; the system reads at most 2 GiB at once."""

_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+-]{1,127}"  # noqa: S105 - the word of RFC 9110
_MIME_TYPE: Final = re.compile(rf"{_TOKEN}/{_TOKEN}(?:; ?{_TOKEN}={_TOKEN}){{0,4}}")
"""What goes into a header and a URL as it is: no quotes, no commas, no line ends."""


class OutputUnreadable(Exception):
    """A file output cannot be had. The text names the file and the reason, for the client."""


@frozen
class OutputFile:
    """A file of the model's, open. What it is called may change, and so may what lies there.

    Attributes:
        name: its last part.
        mime_type: of what the worker said, or of its name; fit for a header.
        size: bytes, when it was opened.
    """

    name: str
    mime_type: str
    size: int
    _descriptor: int

    def read(self, offset: int, count: int) -> bytes:
        """At most `count` bytes from `offset` on; none at its end. In any thread.

        Raises:
            OutputUnreadable: the system cannot read it.
        """
        try:
            return os.pread(self._descriptor, count, offset)
        except OSError as error:
            raise _unreadable(self.name, error) from error

    def changed(self) -> OutputUnreadable:
        """What to raise if less, or more, of it is there than there was."""
        return OutputUnreadable(f"Output file {self.name!r} changed while it was read")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._descriptor)


async def open_file(
    message: FileOutput, *, output_dir: str, anywhere: bool, limit: int
) -> OutputFile:
    """Open a file of the model's, once; whoever has it closes it.

    Args:
        message: what the worker said, not of a spilled value.
        output_dir: the prediction's own output folder.
        anywhere: whether the file may lie elsewhere (foreign workers leave it there).
        limit: bytes; a larger file is not opened.

    Raises:
        OutputUnreadable: the file is missing, not regular, too big, or lies where it must not.
    """
    return await trio.to_thread.run_sync(_open, message, output_dir, anywhere, limit)


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
    with _open(message, output_dir, anywhere, limit) as file:
        data = _all_of(file)
    url = f"data:{file.mime_type};base64,{base64.b64encode(data).decode()}"
    return url, len(url) + 2


def _all_of(file: OutputFile) -> bytes:
    data = bytearray()
    while piece := file.read(len(data), _PIECE):
        data += piece
        if len(data) > file.size:  # it grew, or is one of those in /proc
            break
    if len(data) != file.size:
        raise file.changed()
    return bytes(data)


def _open(message: FileOutput, output_dir: str, anywhere: bool, limit: int) -> OutputFile:
    path = message.filename if anywhere else _inside(message.filename, output_dir)
    try:
        descriptor = open_regular(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    size = os.fstat(descriptor).st_size
    if size > limit:
        os.close(descriptor)
        raise OutputUnreadable(f"Output file {path!r} is larger than {limit} bytes (--max-output)")
    return OutputFile(os.path.basename(message.filename), _mime_type(message), size, descriptor)


def _mime_type(message: FileOutput) -> str:
    said = message.mime_type
    if said is not None and _MIME_TYPE.fullmatch(said):
        return said
    return mimetypes.guess_type(message.filename)[0] or "application/octet-stream"


def _inside(path: str, folder: str) -> str:
    """The real path of `path`, if that lies in `folder`."""
    try:
        real = os.path.realpath(path)
    except (OSError, ValueError) as error:  # a NUL in it, for example
        raise _unreadable(path, error) from error
    if not real.startswith(os.path.join(os.path.realpath(folder), "")):
        raise OutputUnreadable(f"Output file {path!r} lies outside the prediction's folder")
    return real


def _unreadable(path: str, error: OSError | ValueError) -> OutputUnreadable:
    reason = getattr(error, "strerror", None) or error
    return OutputUnreadable(f"Output file {path!r} cannot be read: {reason}")
