"""From what a model answers to messages: plain JSON in chunks, files in the prediction's folder.

Small texts and numbers, of which a stream has thousands, take a short way; everything else is
walked once, made plain, and serialised once.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence, Set, ValuesView
from math import isfinite
from typing import Any, Final

import msgspec

from protocol.errors import Unserialisable
from protocol.json_text import INT_MAX, INT_MIN, dumps
from protocol.limits import INLINE_MAX
from protocol.messages import FileKind, FileOutput, OutputChunk
from protocol.spill import write_spill
from worker.output_files import is_file, save_file
from worker.places import ROOT, OutputFailure, Place
from worker.plain_json import bad_text, is_array, plain_json

__all__ = ["OutputFailure", "OutputWriter", "stream_of"]

_SHORT: Final = INLINE_MAX // 6
"""Characters of a text that certainly fits in a frame: JSON needs at most six bytes for one."""


class OutputWriter:
    """Makes the output messages of one prediction.

    Args:
        output_dir: the prediction's folder, where files and values too big for a frame go.
        files_apart: whether files inside other values go there too; else they become data URLs.
    """

    def __init__(self, output_dir: str, *, files_apart: bool = False) -> None:
        self._output_dir = output_dir
        self._files_apart = files_apart
        self._chunks = 0
        self._files = 0
        self._items = 0
        self.is_stream = False
        """Whether what comes are the items of the output, one by one, and not the whole of it."""

    def message(self, item: Any) -> OutputChunk | FileOutput:
        """The message for one item of the output, or for the whole of it.

        A file is copied before this returns: what the client gets is what it was at this moment.

        Raises:
            OutputFailure: it is nothing that a client could be sent; the text names the place.
        """
        kind = type(item)
        self._items += 1
        if kind is str and len(item) < _SHORT and item.isascii():
            return self._chunk(item)
        if (
            (kind is int and INT_MIN <= item <= INT_MAX)
            or kind is bool
            or item is None
            or (kind is float and isfinite(item))
        ):
            return self._chunk(item)
        if is_file(item):
            return self._file(item)
        place = self._place
        if self._files_apart:
            return self._with_files_apart(item, place)
        return self._serialised(plain_json(item, place), place)

    def file_message(self, item: Any, go_on: Callable[[], None] = lambda: None) -> FileOutput:
        """As `message`, of what `is_file`. `go_on` may raise while it is copied, to end that."""
        self._items += 1
        return self._file(item, go_on)

    @property
    def _place(self) -> Place:
        """Where the item that has come last has its place."""
        return Place(ROOT, self._items - 1) if self.is_stream else ROOT

    def _file(self, item: Any, go_on: Callable[[], None] = lambda: None) -> FileOutput:
        return FileOutput(save_file(item, self._new_folder(), self._place, go_on), FileKind.FILE)

    def _new_folder(self) -> str:
        folder = os.path.join(self._output_dir, str(self._files))
        self._files += 1
        return folder

    def _with_files_apart(self, item: Any, place: Place) -> OutputChunk | FileOutput:
        files: dict[str, str] = {}

        def put_file(file: Any, its_place: Place, pointer: str) -> None:
            files[pointer] = save_file(file, self._new_folder(), its_place)

        return self._serialised(plain_json(item, place, put_file), place, files)

    def _chunk(self, output: Any) -> OutputChunk:
        chunk = OutputChunk(output, self._chunks)
        self._chunks += 1
        return chunk

    def _serialised(
        self, plain: Any, place: Place, files: dict[str, str] | None = None
    ) -> OutputChunk | FileOutput:
        try:
            payload = dumps(plain)
        except Unserialisable as error:  # a text that holds half a surrogate pair
            raise (bad_text(plain, place.parent, place.step) or place).failure(
                str(error)
            ) from error
        if len(payload) <= INLINE_MAX and not files:
            return self._chunk(msgspec.Raw(payload))
        try:
            os.makedirs(self._output_dir, mode=0o700, exist_ok=True)
            path = write_spill(self._output_dir, payload)
        except OSError as error:
            raise place.failure(f"cannot be written to a file: {error}") from error
        return FileOutput(path, FileKind.OVERSIZED, files=files or None)


def stream_of(result: Any) -> Iterator[Any] | None:
    """The items of a result that is to be sent item by item; None: it is a single value.

    All that becomes a list in JSON is, and so are generators and other iterators. (A schema says
    "array" of it, and the supervisor makes an array of what is no stream by putting it into one.)
    Open files, which are iterators too, are not.
    """
    if isinstance(result, list | tuple):
        return iter(result)
    if isinstance(result, str | bytes | bytearray | memoryview | io.IOBase):
        return None
    if isinstance(result, Iterator):
        return result
    if isinstance(result, Sequence | Set | ValuesView):
        return iter(result)
    if is_array(result):
        values = result.tolist()  # of no dimension, it is a number
        return iter(values) if isinstance(values, list) else None
    return None
