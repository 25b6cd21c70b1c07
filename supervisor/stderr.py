"""Writing to stderr without ever being held up by whoever does not read it.

A log that nobody reads must not stop predictions, probes and the answer to SIGTERM: after a moment
of patience lines are dropped, and counted, until they can be written again.
"""

from __future__ import annotations

import json
import os
import select
import sys
from datetime import UTC, datetime
from typing import Final

__all__ = ["StderrWriter"]

PATIENCE: Final = 0.1
"""Seconds that a write may wait for a slow reader; once for all lines of a stall."""

_PIECE: Final = select.PIPE_BUF
"""Bytes that a pipe takes at once when it says that it can be written."""


class StderrWriter:
    """Writes whole lines to `sys.stderr` as it is at that moment."""

    def __init__(self) -> None:
        self._dropped = 0
        self._inside_line = False

    def write(self, line: bytes) -> None:
        """Write one line, its newline included, or drop it. An stderr that is gone is no error."""
        try:
            descriptor = sys.stderr.fileno()
        except (OSError, ValueError, AttributeError):
            self._write_object(line)
            return
        if self._dropped and not _writable(descriptor, 0):
            self._dropped += 1
            return
        try:
            self._write_pieces(descriptor, memoryview(self._notice() + line))
        except OSError:
            return

    def _write_pieces(self, descriptor: int, rest: memoryview) -> None:
        while rest:
            if not _writable(descriptor, PATIENCE):
                self._dropped += 1
                return
            rest = rest[os.write(descriptor, rest[:_PIECE]) :]
            self._inside_line = bool(rest)

    def _notice(self) -> bytes:
        """What has to come before the next line: the end of a cut one, the count of the lost."""
        start = b"\n" if self._inside_line else b""
        if not self._dropped:
            return start
        count, self._dropped = self._dropped, 0
        event = {
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "level": "WARN",
            "fields": {"message": "Log lines were dropped: nobody read stderr", "count": count},
            "target": "supervisor.stderr",
        }
        return start + json.dumps(event, separators=(",", ":")).encode() + b"\n"

    def _write_object(self, line: bytes) -> None:
        """For an stderr that is no file: a test's, or that of a program that embeds us."""
        try:
            sys.stderr.buffer.write(line)
            sys.stderr.buffer.flush()
        except (OSError, ValueError, AttributeError):
            return


def _writable(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
