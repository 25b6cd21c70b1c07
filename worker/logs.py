"""Whose log it is: text on its way from the model to the prediction that wrote it.

A `LogSink` is the log of one prediction, or of nobody (the control channel). The `LogRouter` finds
the sink of whoever is writing: the one of the writer's context; else, where there is a single
slot, that of the running prediction; else nobody's.
"""

from __future__ import annotations

import codecs
import os
import threading
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

_BEGUN_MAX: Final = 16 * 1024
"""Characters of a line that waits for its end; a longer one goes out in pieces."""

_CAPTURED: Final = "captured"

_FD: Final = {LogSource.STDOUT: 1, LogSource.STDERR: 2}


def messages_of(text: str) -> Iterator[str]:
    """Cut `text` into what one message may hold: lines at most 4 MiB, messages fit for a frame."""
    if len(text) <= _MESSAGE_MAX:
        yield cut_log(text)
        return
    lines = text.split("\n")
    if max(map(len, lines)) > _MESSAGE_MAX:
        text = "\n".join(map(cut_log, lines))
    for start in range(0, len(text), _MESSAGE_MAX):
        yield cut_log(text[start : start + _MESSAGE_MAX])


class LogSink:
    """The log of one prediction, or of nobody: whole lines go out in the order of their ends.

    A line that was begun waits for its end, for a flush, or for the end of the sink.
    """

    def __init__(
        self, writer: FrameWriter, frame: Callable[[LogSource, str], bytes | bytearray]
    ) -> None:
        """`frame` makes the message of a piece of text; `writer` sends it."""
        self._writer = writer
        self._frame = frame
        # By thread: `print` writes the end of its line by itself, and lines would get mixed.
        self._begun: dict[tuple[LogSource, int], str] = {}
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self.closed = False

    def write(self, source: LogSource, text: str) -> bool:
        """Take `text`. False: the sink is closed, and it was not taken."""
        with self._writer.lock:
            if self.closed:
                return False
            key = source, threading.get_ident()
            whole, newline, rest = (self._begun.pop(key, "") + text).rpartition("\n")
            self._send(source, whole + newline)
            if len(rest) > _BEGUN_MAX:
                self._send(source, rest)
            elif rest:
                # A signal handler may have begun a line while this one was sent.
                self._begun[key] = self._begun.get(key, "") + rest
            return True

    def write_bytes(self, source: LogSource, data: bytes) -> bool:
        """As `write`, of what was written to the binary side of a stream."""
        with self._writer.lock:
            return self.write(source, self._decode(source.value, data))

    def write_captured(self, data: bytes) -> bool:
        """Take what was read from fd 1 and 2, which do not say which. It waits for nothing."""
        with self._writer.lock:
            if not self.closed:
                self._send(LogSource.STDOUT, self._decode(_CAPTURED, data))
            return not self.closed

    def flush(self, source: LogSource) -> None:
        """Send the line that the calling thread has begun."""
        with self._writer.lock:
            self._send(source, self._begun.pop((source, threading.get_ident()), ""))

    def flush_all(self) -> None:
        """Send every line that was begun, by whatever thread."""
        with self._writer.lock:
            begun, self._begun = self._begun, {}
            for (source, _), text in begun.items():
                self._send(source, text)

    def close(self) -> None:
        """Send all that waits; take nothing more."""
        with self._writer.lock:
            for name, decoder in self._decoders.items():
                source = LogSource.STDOUT if name == _CAPTURED else LogSource(name)
                self.write(source, decoder.decode(b"", final=True))
            self.flush_all()
            self.closed = True

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
        self.current: ContextVar[LogSink | None] = ContextVar("coglet_log", default=None)
        """The sink of the prediction to which a context belongs."""
        self._plain: dict[LogSource, list[str]] | None = None

    def set_sole(self, sink: LogSink | None) -> None:
        """The running prediction of the only slot owns all that is written from now on."""
        self._sole = sink

    def set_current(self, sink: LogSink) -> None:
        """The current context, and what copies it, write to `sink`."""
        self.current.set(sink)

    def sink(self) -> LogSink:
        """The sink of whoever asks."""
        return self.current.get() or self._sole or self.nobody

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
