"""A client's connection as HTTP gets it: a stream that knows how long things may take.

One task, `pump`, reads at all times, into a bounded buffer: so the client's end is seen while its
answer is pending, also after it has pipelined a further request, which is not read before the
first is answered.

How long the next byte may take depends on what the connection is doing:

- before a request: `header_timeout` for the first one, `idle_timeout` between two;
- inside a header: `header_timeout` for all of it, however often a byte arrives; one that was
  begun before the answer to the request before it was complete has that time from there;
- inside a body: `body_timeout` for each 64 KiB of it, however often a byte arrives;
- while the answer is pending: for ever.

A client that closes its sending half may have gone, or may wait for an answer: nobody can tell.
So a request that costs nothing to answer, and an answer that has an end, go on; what would run
for nobody (a prediction that is waited for, a stream of events) is cancelled, as in coglet.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from supervisor.http.errors import raw_error
from supervisor.http.timed_sender import CHUNK, TimedSender

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.config import Times

__all__ = ["ClientStream", "OpenRequest"]

BODY_CHUNK: Final = 512 * 1024
"""Bytes that are read at a time of a body: each time costs every layer up to the application."""

READ_AHEAD: Final = 128 * 1024
"""Bytes kept while nobody wants them; beyond, the client has to wait."""

LINGER: Final = 2.0
"""Seconds in which a client that is still sending may notice that it has been answered."""

LAST_SEND: Final = 1.0
"""Seconds that a send may still take once the server, or the connection, ends."""


class OpenRequest:
    """A request between its header and the last byte of its answer.

    Args:
        stream: its connection.
        scope: what its answer is made in; cancelled when the client has gone.
        is_safe: whether making the answer costs nothing that its client could want to save, or is
            wanted whoever waits for it.
    """

    def __init__(self, stream: ClientStream, scope: trio.CancelScope, *, is_safe: bool) -> None:
        self.scope = scope
        self.is_safe = is_safe
        self.body_is_complete = False
        self.answering = False
        self._is_endless = False
        self._stream = stream

    def body_complete(self) -> None:
        """The whole body has been read: from now on the client may be silent."""
        self.body_is_complete = True
        self._stream.rearm()

    def answer_begun(self, *, endless: bool = False) -> None:
        """The answer is known; `endless` is one that goes on until something has ended."""
        self.answering = True
        self._is_endless = endless
        self._stream.rearm()

    @property
    def awaits_body(self) -> bool:
        """Whether the next byte is the client's duty."""
        return not self.body_is_complete and not self.answering

    @property
    def outlives_client(self) -> bool:
        """Whether it is answered to a client that sends nothing any more."""
        return not self._is_endless if self.answering else self.is_safe


class ClientStream(trio.abc.Stream):
    """One accepted connection. `pump` has to run as long as it is used.

    Args:
        stream: the connection itself.
        times: its time limits.
        put_back: bytes that somebody has read from `stream` already; they come first.
    """

    def __init__(self, stream: trio.abc.Stream, times: Times, *, put_back: bytes = b"") -> None:
        self._stream = stream
        self._times = times
        self._sender = TimedSender(stream, times)
        self._buffer = bytearray(put_back)
        self._ended = False
        self._discarding = False
        self._refused = False
        self._open: set[OpenRequest] = set()
        self._reading = trio.CancelScope()
        self._read_something = trio.lowlevel.ParkingLot()
        self._made_room = trio.lowlevel.ParkingLot()
        self._over = trio.Event()
        now = trio.current_time()
        self._piece_since = now
        self._piece_size = 0
        self._header_since: float | None = now if put_back else None
        self._silent_until = now + times.header_timeout

    # --- requests ------------------------------------------------------------------------------

    @contextmanager
    def request(self, *, is_safe: bool = False) -> Iterator[OpenRequest]:
        """A request is open inside; what runs there is cancelled when its client goes."""
        with trio.CancelScope() as scope:
            request = OpenRequest(self, scope, is_safe=is_safe)
            self._open.add(request)
            self._header_since = None
            self._begin_piece()
            self.rearm()
            try:
                yield request
            finally:
                self._open.discard(request)
                self._silent_until = trio.current_time() + self._times.idle_timeout
                self.rearm()

    def header_begun(self) -> None:
        """The header of the next request has begun with what has been read from here already.

        We cannot tell ourselves what came, while a request was open, behind that one's end.
        """
        if self._header_since is None:
            self._header_since = trio.current_time()
            self.rearm()

    # --- reading -------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Read until the client has gone, or took too long. Cancelled: the server ends."""
        try:
            while await self._pump_once():
                pass
        except trio.Cancelled:
            self._sender.hurry(LAST_SEND)
            raise
        finally:
            self._ended = True
            self._abandon()
            self._over.set()
            self._read_something.unpark_all()

    async def _pump_once(self) -> bool:
        while len(self._buffer) >= READ_AHEAD and not self._discarding:
            await self._made_room.park()
            self._begin_piece()  # it was not the client that took its time
        data: bytes | bytearray = b""
        with trio.CancelScope(deadline=self._deadline()) as self._reading:
            try:
                data = await self._stream.receive_some(self._most_at_once())
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._sender.is_lost = True
        if self._reading.cancelled_caught:
            await self._time_out()
        elif data and not self._discarding:
            self._piece_size += len(data)
            if self._piece_size >= CHUNK:
                self._begin_piece()
            if not self._open and self._header_since is None:
                self._header_since = trio.current_time()
            self._buffer += data
            self._read_something.unpark_all()
        return bool(data)

    def _most_at_once(self) -> int:
        # Only what somebody waits for may be much: what a client sends ahead is kept.
        return BODY_CHUNK if any(request.awaits_body for request in self._open) else CHUNK

    def _begin_piece(self) -> None:
        self._piece_since = trio.current_time()
        self._piece_size = 0

    def rearm(self) -> None:
        """A request has begun, gone on or ended: see to what that means for its client's end."""
        self._reading.deadline = self._deadline()
        if self._ended:
            self._abandon()

    def _deadline(self) -> float:
        if any(request.awaits_body for request in self._open):
            return self._piece_since + self._times.body_timeout
        if self._open:
            return math.inf
        if self._header_since is not None:
            return self._header_since + self._times.header_timeout
        return self._silent_until

    async def _time_out(self) -> None:
        """Say 408 to a client that has begun something; an idle connection just ends."""
        begun = self._header_since is not None or bool(self._open)
        answering = any(request.answering for request in self._open)
        if begun and not answering and not self._sender.is_sending:
            with trio.move_on_after(LAST_SEND):
                await self._send_or_lose(raw_error(408, "the request did not arrive in time"))
        self._sender.is_lost = True

    def _abandon(self) -> None:
        """Cancel what nobody waits for any more."""
        for request in self._open:
            if self._sender.is_lost or not request.outlives_client:
                self._sender.is_lost = True  # not even an error may be written over it
                request.scope.cancel()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; b"" when the client has ended its half.

        Raises:
            trio.BrokenResourceError: the connection is lost, or has timed out.
        """
        await trio.lowlevel.checkpoint()
        while not self._buffer and not self._ended:
            await self._read_something.park()
        if self._buffer:
            data = bytes(self._buffer[:max_bytes])
            del self._buffer[:max_bytes]
            self._made_room.unpark_all()
            return data
        if self._sender.is_lost:
            raise trio.BrokenResourceError("the client has gone")
        return b""

    # --- writing -------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, each 64 KiB in `write_timeout` at most.

        Raises:
            trio.BrokenResourceError: the connection is lost, or the client does not read.
        """
        if not self._refused:
            await self._sender.send(self._in_our_words(data))

    def hold(self) -> None:
        """As `TimedSender.hold`."""
        self._sender.hold()

    async def release(self) -> None:
        """As `TimedSender.release`."""
        await self._sender.release()

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream's own."""
        await self._stream.wait_send_all_might_not_block()

    def _in_our_words(self, data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        """What is to be sent; Hypercorn's own answers to broken HTTP get a body."""
        if any(request.answering for request in self._open):
            return data
        head = bytes(data[:12])
        if not head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
            return data
        self._refused = True  # what it still says belongs to the answer that was replaced
        return raw_error(int(head[9:]))

    async def _send_or_lose(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._sender.is_lost = True

    # --- the end -------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close. A client that is still sending gets a moment to read what it was answered.

        Without it the kernel would reset the connection, and the answer be lost with it.
        """
        try:
            await self.release()
            if self._is_still_sending():
                self._discarding = True
                self._buffer.clear()
                self._made_room.unpark_all()
                await self._send_eof()
                with trio.move_on_after(LINGER):
                    await self._over.wait()
        finally:
            with trio.move_on_after(LAST_SEND):  # TLS says goodbye
                await self._stream.aclose()

    async def _send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):  # TLS is not
            try:
                await self._stream.send_eof()
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
                self._sender.is_lost = True

    def _is_still_sending(self) -> bool:
        if self._ended or self._sender.is_lost:
            return False
        unfinished = any(not request.body_is_complete for request in self._open)
        return unfinished or self._header_since is not None
