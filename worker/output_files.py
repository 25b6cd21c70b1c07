"""Files in outputs: paths and open files, copied while they are what the model means.

They are copied, never linked: a hard link shows what the model writes into its file afterwards,
as models do that yield one `out.png` after another.
"""

from __future__ import annotations

import io
import mimetypes
import os
import re
from base64 import b64encode
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from attrs import frozen

from protocol.regular_file import open_regular
from worker.error_text import describe
from worker.file_copy import copy_content
from worker.places import OutputFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.places import Place

__all__ = ["as_data_url", "file_as_data_url", "is_file", "save_file"]

_PIECE: Final = 1024 * 1024
"""Bytes, or characters of a text file, that are read at once."""

_open_private: Final = partial(os.open, mode=0o600)

_HALF_OF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
"""What stands in a name for bytes that are not UTF-8; no message can hold it."""

_NO_FILES: Final = frozenset({dict, list, tuple, set, str, bytes, int, float, bool, type(None)})


@frozen
class _Source:
    name: str
    read: Callable[[int], Any]
    """Answers bytes or, if it is a text file, str; empty at the end."""
    descriptor: int | None = None
    """Of a regular file, from which alone all can be read."""

    def copy_to(self, target: BinaryIO, go_on: Callable[[], None]) -> None:
        """Write all of it; `go_on` may raise between pieces."""
        if self.descriptor is not None:
            copy_content(self.descriptor, target.fileno(), go_on)
            return
        for piece in self.pieces():
            target.write(piece)
            go_on()

    def pieces(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE):
            yield piece.encode() if isinstance(piece, str) else piece


def is_file(value: Any) -> bool:
    """Whether it is a path or an open file; objects that only behave like open files are too."""
    if type(value) in _NO_FILES or isinstance(value, type):
        return False
    if isinstance(value, os.PathLike | io.IOBase):
        return True
    # tempfile's wrappers derive from nothing, and pass attributes on.
    return all(callable(getattr(value, name, None)) for name in ("read", "seek", "close"))


def save_file(
    value: Any, folder: str, place: Place, go_on: Callable[[], None] = lambda: None
) -> str:
    """Copy a file into the new folder `folder` under its own name, and return its path.

    `go_on` is called between pieces, and may raise to end it. Whatever ends it leaves nothing.

    Raises:
        OutputFailure: it cannot be read or copied.
    """
    with _opened(value, place) as source:
        try:
            os.makedirs(folder, mode=0o700)
            path = os.path.join(folder, _HALF_OF_A_PAIR.sub("_", source.name))
            # One step of the interpreter: no exception out of the blue leaves a descriptor behind.
            target = open(path, "xb", opener=_open_private)  # noqa: SIM115
            try:
                with target:
                    source.copy_to(target, go_on)
            except BaseException:
                os.unlink(path)
                os.rmdir(folder)
                raise
        # Of reading or of writing; the text of the error tells.
        except OSError as error:
            raise place.failure(f"cannot be copied: {error}") from error
    return path


def file_as_data_url(value: Any, place: Place) -> str:
    """The content of a file as a `data:` URL, its type guessed from its name.

    Raises:
        OutputFailure: it cannot be read.
    """
    with _opened(value, place) as source:
        mime_type, _ = mimetypes.guess_type(source.name)
        return as_data_url(b"".join(source.pieces()), mime_type)


def as_data_url(content: bytes, mime_type: str | None = None) -> str:
    """A `data:` URL with this content."""
    return f"data:{mime_type or 'application/octet-stream'};base64,{b64encode(content).decode()}"


@contextmanager
def _opened(value: Any, place: Place) -> Iterator[_Source]:
    """A file of the model, open at its beginning. All that goes wrong with it names the place."""
    try:
        if isinstance(value, os.PathLike):
            with _open_path(os.fspath(value)) as source:
                yield source
        else:
            with _open_stream(value, place) as source:
                yield source
    except OutputFailure:
        raise
    except OSError as error:
        raise place.failure(f"file cannot be read: {error}") from error
    # A file-like object is code of the model.
    except Exception as error:
        raise place.failure(f"file cannot be read: {describe(error)}") from error


@contextmanager
def _open_path(path: str | bytes) -> Iterator[_Source]:
    with open(path, "rb", opener=open_regular) as file:
        yield _Source(os.path.basename(os.fsdecode(path)), file.read, file.fileno())


@contextmanager
def _open_stream(stream: Any, place: Place) -> Iterator[_Source]:
    if getattr(stream, "closed", False):
        raise place.failure("is a closed file; return its path instead")
    own_name = getattr(stream, "name", None)
    if _is_write_only(stream) and isinstance(own_name, str):
        stream.flush()
        with _open_path(own_name) as source:
            yield source
        return
    if stream.seekable():
        stream.seek(0)
    extension = ".txt" if isinstance(stream, io.TextIOBase) else ".bin"
    name = os.path.basename(own_name) if isinstance(own_name, str) else ""
    yield _Source(name or f"output{extension}", stream.read)


def _is_write_only(stream: Any) -> bool:
    readable = getattr(stream, "readable", None)
    return callable(readable) and not readable()
