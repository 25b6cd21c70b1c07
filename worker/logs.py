"""Whose log it is: text on its way from the model to the prediction that wrote it.

The `LogRouter` finds the `LogSink` of whoever is writing: the one of the writer's context; else,
where there is a single slot, that of the running prediction; else nobody's. What a prediction has
left running keeps its context, and so writes to nobody when the prediction has ended.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from protocol.messages import LogSource

if TYPE_CHECKING:
    from worker.sink import LogSink

__all__ = ["DESCRIPTORS", "LogRouter", "PlainOutput"]

DESCRIPTORS: Final = {LogSource.STDOUT: 1, LogSource.STDERR: 2}
"""Where the interpreter's own two streams write."""


class LogRouter:
    """Finds the sink of whoever writes. One for the worker; never replaced."""

    def __init__(self, nobody: LogSink) -> None:
        """`nobody` takes what belongs to no prediction."""
        self.nobody = nobody
        self.sole: LogSink | None = None
        """The running prediction of the only slot; it owns all that has no context."""
        self.current: ContextVar[LogSink | None] = ContextVar("coglet_log", default=None)
        """The prediction to which a context belongs."""
        self.plain: PlainOutput | None = None
        """Where all is written in a forked child, and at the exit."""

    def set_sole(self, sink: LogSink | None) -> None:
        """The running prediction of the only slot owns all that is written from now on."""
        self.sole = sink

    def set_current(self, sink: LogSink) -> None:
        """The current context, and what copies it, write to `sink`."""
        self.current.set(sink)

    def sink(self) -> LogSink:
        """The sink of whoever asks."""
        return self.current.get() or self.sole or self.nobody

    def write(self, source: LogSource, text: str) -> None:
        """Log `text` for whoever calls."""
        if self.plain is not None:
            self.plain.write(source, text)
        elif not self.sink().write(source, text):
            self.nobody.write(source, text)

    def write_captured(self, data: bytes) -> None:
        """Log what was read from fd 1 and 2; there is no telling who wrote it."""
        if not self.captured().write_captured(data):
            self.nobody.write_captured(data)

    def captured(self) -> LogSink:
        """The sink of what is read from fd 1 and 2."""
        return self.sole or self.nobody

    def flush(self, source: LogSource) -> None:
        """Send the line that whoever calls has begun, and all that waits."""
        if self.plain is not None:
            self.plain.flush(source)
        else:
            self.sink().flush(source)

    def go_plain(self) -> None:
        """From now on write to fd 1 and 2, without any lock: in a forked child, or at the exit."""
        if self.plain is None:
            self.plain = PlainOutput()


class PlainOutput:
    """Writes to fd 1 and 2 by the line, as C does. It knows no prediction and takes no lock."""

    def __init__(self) -> None:
        self._begun: dict[LogSource, list[str]] = {source: [] for source in LogSource}

    def write(self, source: LogSource, text: str) -> None:
        """Write `text`; what is after its last newline waits."""
        self._begun[source].append(text)
        if "\n" in text:
            self.flush(source)

    def write_bytes(self, source: LogSource, data: bytes) -> None:
        """Write bytes as they are."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(DESCRIPTORS[source], rest) :]
        except OSError:
            return  # the model has closed it, or the worker is gone: nobody reads

    def flush(self, source: LogSource) -> None:
        """Write what waits."""
        pieces = "".join(self._begun[source])
        self._begun[source].clear()
        self.write_bytes(source, pieces.encode(errors="backslashreplace"))
