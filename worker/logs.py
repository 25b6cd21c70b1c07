"""Whose log it is: text on its way from the model to the prediction that wrote it.

A `LogSink` is the log of one prediction, or of nobody (the control channel). The `LogRouter` finds
the sink of whoever is writing: the one of the writer's context; else, where there is a single
slot, that of the running prediction; else nobody's.
"""

from __future__ import annotations

import codecs
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from protocol.log_text import cut_log
from protocol.messages import LogSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.channel import FrameWriter

__all__ = ["LogRouter", "LogSink", "messages_of"]

_MESSAGE_MAX: Final = 1024 * 1024
"""Characters in one message. JSON writes at most six bytes for one, and a frame holds 8 MiB."""

_PARTIAL_MAX: Final = 64 * 1024
"""Pieces of a line that has not ended are kept back up to so many characters."""

_FD: Final = {LogSource.STDOUT: 1, LogSource.STDERR: 2}


def messages_of(text: str) -> Iterator[str]:
    """Cut `text` into what one message may hold: lines at most 4 MiB, messages fit for a frame."""
    if len(text) <= _MESSAGE_MAX:
        yield cut_log(text)
        return
    message = ""
    for line in text.splitlines(keepends=True):
        cut = cut_log(line)
        if len(message) + len(cut) > _MESSAGE_MAX:
            yield from _slices(message)
            message = ""
        message += cut
    yield from _slices(message)


def _slices(text: str) -> Iterator[str]:
    for start in range(0, len(text), _MESSAGE_MAX):
        yield text[start : start + _MESSAGE_MAX]


class LogSink:
    """The log of one prediction, or of nobody: whole lines go out in the order of their ends.

    The beginning of a line waits for its end, for a flush, or for the end of the sink.
    """

    def __init__(
        self, writer: FrameWriter, frame: Callable[[LogSource, str], bytes | bytearray]
    ) -> None:
        """`frame` makes the message of a piece of text; `writer` sends it."""
        self._writer = writer
        self._frame = frame
        self._partial: dict[LogSource, list[str]] = {source: [] for source in LogSource}
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self.closed = False

    def write(self, source: LogSource, text: str) -> bool:
        """Take `text`. False: the sink is closed, and it was not taken."""
        with self._writer.lock:
            if self.closed:
                return False
            pieces = self._partial[source]
            pieces.append(text)
            if "\n" in text:
                whole, newline, rest = "".join(pieces).rpartition("\n")
                self._partial[source] = [rest] if rest else []
                self._send(source, whole + newline)
            elif len(pieces) > 1 or len(text) > _PARTIAL_MAX:
                self._limit(source)
            return True

    def write_bytes(self, source: LogSource, data: bytes) -> bool:
        """As `write`, of what was written to the binary side of a stream."""
        with self._writer.lock:
            return self.write(source, self._decode(source.value, data))

    def write_captured(self, data: bytes) -> bool:
        """Take what was read from fd 1 and 2, which do not say which. It waits for nothing."""
        with self._writer.lock:
            if not self.closed:
                self._send(LogSource.STDOUT, self._decode("captured", data))
            return not self.closed

    def flush(self, source: LogSource) -> None:
        """Send the beginning of a line that waits for its end."""
        with self._writer.lock:
            pieces, self._partial[source] = self._partial[source], []
            self._send(source, "".join(pieces))

    def close(self) -> None:
        """Send all that waits; take nothing more."""
        with self._writer.lock:
            if self._decoders:
                self._finish_characters()
            for source in LogSource:
                self.flush(source)
            self.closed = True

    def _finish_characters(self) -> None:
        for name, decoder in self._decoders.items():
            text = decoder.decode(b"", final=True)
            if name == "captured":
                self._send(LogSource.STDOUT, text)
            else:
                self._partial[LogSource(name)].append(text)

    def _limit(self, source: LogSource) -> None:
        if sum(map(len, self._partial[source])) > _PARTIAL_MAX:
            self.flush(source)

    def _decode(self, name: str, data: bytes) -> str:
        decoder = self._decoders.get(name)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self._decoders[name] = decoder
        return decoder.decode(data)

    def _send(self, source: LogSource, text: str) -> None:
        if text:
            for message in messages_of(text):
                self._writer.send(self._frame(source, message))


class LogRouter:
    """Finds the sink of whoever writes. One for the worker; never replaced."""

    def __init__(self, nobody: LogSink) -> None:
        """`nobody` takes what belongs to no prediction."""
        self.nobody = nobody
        self._sole: LogSink | None = None
        self._current: ContextVar[LogSink | None] = ContextVar("coglet_log", default=None)
        self._plain: dict[LogSource, list[str]] | None = None

    def set_sole(self, sink: LogSink | None) -> None:
        """The running prediction of the only slot owns all that is written from now on."""
        self._sole = sink

    def set_current(self, sink: LogSink) -> None:
        """The current context, and what copies it, write to `sink`."""
        self._current.set(sink)

    def sink(self) -> LogSink:
        """The sink of whoever asks."""
        return self._current.get() or self._sole or self.nobody

    def write(self, source: LogSource, text: str) -> None:
        """Log `text` for whoever calls."""
        if self._plain is not None:
            self._write_plain(self._plain[source], source, text)
        elif not self.sink().write(source, text):
            self.nobody.write(source, text)

    def write_bytes(self, source: LogSource, data: bytes) -> None:
        """As `write`, of bytes."""
        if self._plain is not None:
            _write_descriptor(_FD[source], data)
        elif not self.sink().write_bytes(source, data):
            self.nobody.write_bytes(source, data)

    def write_captured(self, data: bytes) -> None:
        """Log what was read from fd 1 and 2; there is no telling who wrote it."""
        if self._sole is None or not self._sole.write_captured(data):
            self.nobody.write_captured(data)

    def flush(self, source: LogSource) -> None:
        """Send the line that whoever calls has begun."""
        if self._plain is not None:
            pieces = "".join(self._plain[source])
            self._plain[source].clear()
            _write_descriptor(_FD[source], pieces.encode(errors="backslashreplace"))
        else:
            self.sink().flush(source)

    def go_plain(self) -> None:
        """From now on write to fd 1 and 2, without any lock: in a forked child, or at the exit."""
        if self._plain is None:
            self._plain = {source: [] for source in LogSource}

    def _write_plain(self, pieces: list[str], source: LogSource, text: str) -> None:
        pieces.append(text)
        if "\n" in text:
            self.flush(source)


def _write_descriptor(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return  # the model has closed it, or the worker is gone: nobody reads
