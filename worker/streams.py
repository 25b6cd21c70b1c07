"""`sys.stdout` and `sys.stderr` of the worker: text streams whose text finds its prediction."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Final

from protocol.messages import LogSource
from worker.thread_interrupter import this_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from worker.logs import LogRouter

__all__ = ["LogStream", "install_streams"]

_FD: Final = {LogSource.STDOUT: 1, LogSource.STDERR: 2}


class LogStream(io.TextIOBase):
    """One of the two streams. It behaves like the interpreter's own on a pipe, by the line.

    Closing it does nothing: models close it by accident, and their logs would end.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = False
    mode = "w"

    def __init__(
        self,
        source: LogSource,
        router: LogRouter,
        catch_up: Callable[[], None],
        checkpoint: Callable[[], None],
    ) -> None:
        """Make the stream of `source`.

        `catch_up` brings in what was written to fd 1 and 2 before, so that the order is kept;
        `checkpoint` may raise when all is written.
        """
        super().__init__()
        self._source = source
        self._router = router
        self._catch_up = catch_up
        self._checkpoint = checkpoint
        self._bytes = _ByteSide(self)
        self.name = f"<{source.value}>"

    @property
    def buffer(self) -> _ByteSide:
        """The binary side; what is written there is decoded as UTF-8."""
        return self._bytes

    def write(self, text: str, /) -> int:
        """Log `text`; returns its length in characters."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with this_thread.shield:
            self._log(text)
        self._checkpoint()
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Log what was written to the binary side."""
        with this_thread.shield:
            self._router.write_bytes(self._source, data)
        self._checkpoint()

    def flush(self) -> None:
        """Send the line that was begun."""
        with this_thread.shield:
            self._router.flush(self._source)
        self._checkpoint()

    def _log(self, text: str) -> None:
        if "\n" in text:
            self._catch_up()
        self._router.write(self._source, text)

    def fileno(self) -> int:
        """The descriptor of the stream in C: also captured, but without a context."""
        return _FD[self._source]

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """No."""
        return False

    def reconfigure(self, **_: Any) -> None:
        """Accepts what a text file's `reconfigure` does, and changes nothing."""

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


class _ByteSide(io.BufferedIOBase):
    """What models find as `sys.stdout.buffer`."""

    def __init__(self, text: LogStream) -> None:
        super().__init__()
        self._text = text

    @property
    def name(self) -> str:
        return self._text.name

    def write(self, data: Buffer, /) -> int:
        copy = bytes(data)
        self._text.write_bytes(copy)
        return len(copy)

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
    router: LogRouter, catch_up: Callable[[], None], checkpoint: Callable[[], None]
) -> None:
    """Put our streams in the place of the interpreter's, for good.

    Also as `sys.__stdout__` and `sys.__stderr__`: programs that replace the streams restore those.
    """
    for source in LogSource:
        stream = LogStream(source, router, catch_up, checkpoint)
        for name in (source.value, f"__{source.value}__"):
            setattr(sys, name, stream)
