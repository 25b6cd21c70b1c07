"""What is written to fd 1 and 2 by C code, subprocesses and forked children, read and logged.

Fd 1 and 2 are one pipe. A thread of ours reads it all the time; whoever needs to be sure that all
that was written before has been logged (the end of a prediction) reads it too.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import sys
import termios
import threading
import traceback
from contextvars import Context
from functools import partial
from time import sleep  # by name: the interpreter's own, whatever the model puts in its place
from typing import TYPE_CHECKING, Final

from protocol.messages import LogSource
from worker.streams import flush_models_streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.logs import LogRouter
    from worker.sink import LogSink

__all__ = ["Capture"]

_LINE_BUFFERED: Final = 1
"""`_IOLBF` of glibc and musl."""

_PATIENCE: Final = 0.02
"""Seconds between a write and our reading it. A library that ends the process says why just before;
what we read then never gets into the error, what still lies in the pipe does (measured: without
this pause 13 of 60 of glibc's aborts, with it 60 of 60, also on a busy machine)."""

_CATCH_UP: Final = 0.5
"""Seconds after which the order of two lines is worth no more."""

_MUCH: Final = 32 * 1024
"""Bytes waiting, half of what a small pipe holds, that are read without a pause."""


class Capture:
    """The read end of the pipe that is fd 1 and 2.

    The supervisor reads it too, when native code that writes much does not let us: the read end
    never blocks, for what waits in it may be gone when it is read.
    """

    def __init__(self, descriptor: int, router: LogRouter, die: Callable[[str], object]) -> None:
        """`die` is told why nobody reads any more: whoever then writes much would wait for ever."""
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._router = router
        self._die = die
        # Orders what was read: it is held from the read until the text is in its sink.
        self._lock = threading.RLock()
        self._flush_c = _c_stdout_flush()
        self._given_up = False
        epoll = select.epoll()  # of all ways to ask the quickest, and threads may share it
        epoll.register(descriptor, select.EPOLLIN)
        self.waiting: Callable[[float, int], object] = epoll.poll
        """`waiting(0, 1)` is true if something can be read."""
        self._reads = 0
        self._waited_in_vain_at = -1
        """Which read was still on its way to its sink when somebody had waited for it in vain."""
        self.in_hand = False
        """Whether something was read that is not in its sink yet. To be asked after `waiting`."""

    def start(self) -> None:
        """Begin to read, in a thread of its own that does not keep the interpreter from ending."""
        threading.Thread(target=self._run, name="coglet-capture", daemon=True).start()

    def drain(self) -> None:
        """Log all that has been written by now, also what C's `stdout` keeps back.

        Must not be called with a sink's lock held.
        """
        self._flush_c()
        with self._lock:
            self._read_what_is_there()

    def catch_up(self) -> None:
        """As `drain`, without C's buffer, and without waiting for ever: for whoever goes on to log.

        A signal handler that prints may have interrupted the one whom the reading thread waits for.
        """
        reads = self._reads
        if self.in_hand and reads == self._waited_in_vain_at:
            return  # each piece of a `print` would wait anew
        if self._lock.acquire(timeout=_CATCH_UP):
            try:
                self._read_what_is_there()
            finally:
                self._lock.release()
        else:
            self._waited_in_vain_at = reads

    def begin(self, sink: LogSink) -> None:
        """What is written from now on belongs to `sink`, and nothing of what was written before."""
        with self._lock:
            self._read_what_is_there()
            self._router.set_sole(sink)

    def end(self, sink: LogSink) -> None:
        """Log what belongs to `sink`, also what the model and C keep back, and close it.

        With several predictions at a time nobody knows whose text that is: it is nobody's.
        """
        report = partial(self._router.write, LogSource.STDERR)
        if self._router.sole is not sink:
            Context().run(flush_models_streams, report)
            sink.close()
            return
        flush_models_streams(report)
        sink.settle_all()
        self._flush_c()
        with self._lock:
            self._read_what_is_there()
            self._router.set_sole(None)
            sink.close()

    def give_up(self) -> None:
        """In a forked child: read nothing, and take no lock that may be held for ever."""
        self._given_up = True
        self._lock = threading.RLock()

    def _read_what_is_there(self) -> None:
        if self._given_up:
            return
        size = self._size()
        if size:
            self._reads += 1
            before = self.in_hand  # a signal handler that prints may have interrupted us below
            self.in_hand = True  # before the read: whoever then finds the pipe empty finds this
            try:
                self._read_and_log(size)
            finally:
                self.in_hand = before

    def _read_and_log(self, size: int) -> None:
        try:
            data = os.read(self._descriptor, size)
        except BlockingIOError:
            return  # the supervisor has read it
        self._router.write_captured(data)

    def _size(self) -> int:
        """How many bytes can be read."""
        found = fcntl.ioctl(self._descriptor, termios.FIONREAD, bytes(4))
        return int.from_bytes(found, sys.byteorder)

    def _run(self) -> None:
        try:
            self._read_on()
        # The boundary of this thread.
        except BaseException:
            self._die(f"a bug in the worker's capture thread: {traceback.format_exc()}")

    def _read_on(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        while True:
            ((_, event),) = poll.poll()
            sink = self._router.captured()
            turn = sink.turn
            if self._size() < _MUCH:
                sleep(_PATIENCE)
            with self._lock:
                if sink is self._router.captured() and sink.turn == turn:
                    sink.settle_all()  # no line has ended meanwhile: what was begun comes first
                self._read_what_is_there()
            if event & ~select.POLLIN:
                return  # nobody has the write end any more


def _c_stdout_flush() -> Callable[[], object]:
    """Make C's `stdout` write by the line, although it is a pipe. Returns what flushes it."""
    try:
        libc = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
    except (OSError, ValueError):  # statically linked, or a C library that names it otherwise
        return int
    libc.setvbuf(stdout, None, _LINE_BUFFERED, 0)
    fflush = libc.fflush
    return lambda: fflush(stdout)
