"""`sys.stdout` and `sys.stderr` of the worker: text streams whose text finds its prediction."""

from __future__ import annotations

import codecs
import io
import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Final

from protocol.messages import LogSource
from worker.error_text import describe
from worker.logs import DESCRIPTORS
from worker.sink import BEGUN_MAX
from worker.thread_interrupter import this_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from worker.capture import Capture
    from worker.logs import LogRouter
    from worker.sink import LogSink

__all__ = ["LogStream", "flush_models_streams", "install_streams"]

_SOURCES: Final = (LogSource.STDOUT, LogSource.STDERR)


class LogStream(io.TextIOBase):
    """One of the two streams. It behaves like the interpreter's own on a pipe, by the line.

    Closing it does nothing: models close it by accident, and their logs would end.
    """

    newlines = None
    mode = "w"
    write_through = False

    # An attribute in a slot is found faster.
    __slots__ = (
        "_bytes",
        "_capture",
        "_checkpoint",
        "_current",
        "_mine",
        "_other",
        "_router",
        "_source",
        "_waiting",
        "encoding",
        "errors",
    )

    def __init__(
        self,
        source: LogSource,
        router: LogRouter,
        capture: Capture,
        checkpoint: Callable[[], None],
        *,
        several: bool,
    ) -> None:
        """Make the stream of `source`.

        `capture` brings in what was written to fd 1 and 2 before, so that the order is kept;
        `checkpoint` may raise when all is written; `several` predictions may run at a time.
        """
        super().__init__()
        self._source = source
        self._mine = int(source is LogSource.STDERR)
        self._other = 1 - self._mine
        self._router = router
        self._current = router.current
        self._capture = capture
        self._waiting = capture.waiting
        self._checkpoint = checkpoint
        self._bytes = _ByteSide(self, router.nobody if several else None)
        self.name = f"<{source.value}>"
        self.encoding = "utf-8"
        self.errors = "backslashreplace"
        self.line_buffering = True

    @property
    def buffer(self) -> _ByteSide:
        """The binary side; what is written there is decoded as UTF-8."""
        return self._bytes

    def write(self, text: str, /) -> int:
        """Log `text`; returns its length in characters."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._router.plain is not None:
            self._router.plain.write(self._source, text)
            return len(text)
        # All in one piece: this runs several times for each line.
        sink = self._current.get() or self._router.sink()
        if self._waiting(0, 1) or self._capture.in_hand:
            self._catch_up(sink)
        elif sink.begun[self._other]:
            sink.settle(get_ident(), _SOURCES[self._other])
        if "\n" in text or "\r" in text:
            if not sink.write(self._source, text):
                self._router.nobody.write(self._source, text)
        else:
            begun = sink.begun[self._mine]
            thread = get_ident()
            # One step of the interpreter: no thread and no handler comes between.
            begun[thread] = line = begun[thread] + text
            if sink.closed or len(line) > BEGUN_MAX:
                self._move_on(sink)
        self._checkpoint()
        return len(text)

    def write_bytes(self, data: bytes, sink: LogSink | None = None) -> None:
        """Log what was written to the binary side; `sink`: where, whoever has written it."""
        with this_thread.shield:
            self._log_bytes(data, sink)
        self._checkpoint()

    def flush(self) -> None:
        """Send the line that was begun."""
        with this_thread.shield:
            self._router.flush(self._source)
        self._checkpoint()

    def _log_bytes(self, data: bytes, sink: LogSink | None) -> None:
        if self._router.plain is not None:
            self._router.plain.write_bytes(self._source, data)
        elif sink is not None:
            sink.write(self._source, sink.decode(self._source, data))
        else:
            self.write(self._router.sink().decode(self._source, data))

    def _catch_up(self, sink: LogSink) -> None:
        """Log what was written to fd 1 and 2 since the calling thread has begun its lines."""
        for source in LogSource:
            sink.settle(get_ident(), source)
        self._capture.catch_up()

    def _move_on(self, sink: LogSink) -> None:
        """The line that was begun is too long, or its prediction has ended meanwhile."""
        if not sink.write(self._source, ""):
            self._router.nobody.write(self._source, sink.reclaim(self._source))

    def fileno(self) -> int:
        """The descriptor of the stream in C: also captured, but without a context."""
        return DESCRIPTORS[self._source]

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """No."""
        return False

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """As a text file's. What is set can be read; the log is Unicode, in lines, all the same."""
        if encoding is not None:
            codecs.lookup(encoding)
            self.encoding = encoding
        if errors is not None:
            codecs.lookup_error(errors)
            self.errors = errors
        if line_buffering is not None:
            self.line_buffering = bool(line_buffering)

    def close(self) -> None:
        """Send the line that was begun; the stream stays open."""
        self.flush()

    @property
    def closed(self) -> bool:
        """Never."""
        return False

    def __del__(self) -> None:
        """Nothing: what the base class does here would close the stream."""

    def __repr__(self) -> str:
        return f"<LogStream name={self.name!r} encoding={self.encoding!r}>"


class ShieldedLogStream(LogStream):
    """Where threads of ours run predictions: Python may leave an exception with such a thread."""

    def write(self, text: str, /) -> int:
        """As `LogStream.write`; an exception waits for its end."""
        with this_thread.shield:
            return super().write(text)


class _ByteSide(io.BufferedIOBase):
    """What models find as `sys.stdout.buffer`."""

    def __init__(self, text: LogStream, unknown: LogSink | None) -> None:
        """`unknown` takes what nobody can tell whose it is; None: that is known all the same."""
        super().__init__()
        self._text = text
        self._unknown = unknown
        self._sink: LogSink | None = None

    @property
    def name(self) -> str:
        return self._text.name

    def write(self, data: Buffer, /) -> int:
        copy = bytes(data)
        self._text.write_bytes(copy, self._sink)
        return len(copy)

    def seekable(self) -> bool:
        # Asked by a `TextIOWrapper` around us. It keeps back text of any prediction, and hands it
        # over in the middle of another.
        self._sink = self._unknown
        return False

    def flush(self) -> None:
        self._text.flush()

    def fileno(self) -> int:
        return self._text.fileno()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        self.flush()

    @property
    def closed(self) -> bool:
        return False

    def __del__(self) -> None:
        pass


def install_streams(
    router: LogRouter, capture: Capture, checkpoint: Callable[[], None], *, several: bool
) -> None:
    """Put our streams in the place of the interpreter's, for good (see `LogStream`).

    Also as `sys.__stdout__` and `sys.__stderr__`: programs that replace the streams restore those.
    """
    kind = ShieldedLogStream if several else LogStream
    for source in LogSource:
        stream = kind(source, router, capture, checkpoint, several=several)
        for name in (source.value, f"__{source.value}__"):
            setattr(sys, name, stream)


def flush_models_streams(report: Callable[[str], None]) -> None:
    """Flush what the model has put in the place of our streams, and may keep text back.

    `report` is told what it has raised.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        if stream is None or isinstance(stream, LogStream):
            continue
        try:
            stream.flush()
        # A boundary: the prediction has ended, whatever a stream of the model's own does.
        except BaseException as error:
            report(f"sys.{name}.flush() raised {describe(error)}\n")
