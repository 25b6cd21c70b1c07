"""Log lines towards a reader that reads, is slow, or does not read at all."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from supervisor.stderr import StderrWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


class FdStderr(io.StringIO):
    """Something in the place of `sys.stderr` that has a descriptor."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


@contextmanager
def pipe_as_stderr() -> Iterator[int]:
    """Inside, a pipe is `sys.stderr`; its read end. pytest undoes what a fixture replaces."""
    read_end, write_end = os.pipe()
    try:
        with patch.object(sys, "stderr", FdStderr(write_end)):
            yield read_end
    finally:
        os.close(read_end)
        os.close(write_end)


def drained(read_end: int) -> bytes:
    os.set_blocking(read_end, False)
    parts = []
    while True:
        try:
            parts.append(os.read(read_end, 1 << 20))
        except BlockingIOError:
            return b"".join(parts)


def test_lines_are_written_as_they_are() -> None:
    with pipe_as_stderr() as pipe:
        writer = StderrWriter()
        writer.write(b"one\n")
        writer.write(b"x" * 10_000 + b"\n")
        assert drained(pipe) == b"one\n" + b"x" * 10_000 + b"\n"


def test_nobody_reads() -> None:
    with pipe_as_stderr() as pipe:
        writer = StderrWriter()
        for _ in range(1000):
            writer.write(b"y" * 999 + b"\n")
        kept = drained(pipe)
        assert b"y" * 999 in kept
        writer.write(b"again\n")
        *_, notice, again = drained(pipe).splitlines()
        assert again == b"again"
        count = json.loads(notice)["fields"]["count"]
        assert count + kept.count(b"y" * 999 + b"\n") == 1000
        writer.write(b"and on\n")
        assert drained(pipe) == b"and on\n"


def test_a_line_that_was_cut_is_ended() -> None:
    with pipe_as_stderr() as pipe:
        writer = StderrWriter()
        writer.write(b"z" * 200_000 + b"\n")
        assert set(drained(pipe)) == {ord("z")}
        writer.write(b"next\n")
        start, notice, line = drained(pipe).splitlines()
        assert (start, line) == (b"", b"next")
        assert json.loads(notice)["fields"]["count"] == 1


def test_stderr_that_is_gone() -> None:
    with pipe_as_stderr() as pipe:
        for gone in (FdStderr(10**6), None):
            with patch.object(sys, "stderr", gone):
                StderrWriter().write(b"lost\n")
        assert drained(pipe) == b""
