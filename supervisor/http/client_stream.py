"""A client's connection as Hypercorn gets it: a stream that knows how long things may take.

Hypercorn reads only when it wants to, sends without a limit, and knows one timeout for
everything. Here one task, `pump`, reads at all times, into a bounded buffer: so the client's end
is seen while its answer is pending, also after it has pipelined a further request, which is where
Hypercorn stops reading. That a client closes its sending half counts as its end, as in coglet.

How long the next byte may take depends on what the connection is doing:

- before a request: `header_timeout` for the first one, `idle_timeout` between two;
- inside a header: `header_timeout` for all of it, however often a byte arrives;
- inside a body: `body_timeout` from piece to piece;
- while the answer is pending: for ever.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from supervisor.http.errors import raw_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervisor.config import Times

__all__ = ["ClientStream", "OpenRequest"]

READ_AHEAD: Final = 128 * 1024
"""Bytes kept for Hypercorn while it does not read; beyond, the client has to wait."""

CHUNK: Final = 64 * 1024
"""Bytes that are read, and sent, at a time."""

LINGER: Final = 2.0
"""Seconds in which a client that is still sending may notice that it has been answered."""

LAST_SEND: Final = 1.0
"""Seconds that a send may still take once the server ends."""


class OpenRequest:
    """A request between its header and the last byte of its answer."""

    def __init__(self, stream: ClientStream, scope: trio.CancelScope) -> None:
        self.scope = scope
        """Cancelled when the client has gone before its answer began."""
        self.body_is_complete = False
        self.answering = False
        self._stream = stream

    def body_complete(self) -> None:
        """The whole body has been read: from now on the client may be silent."""
        self.body_is_complete = True
        self._stream.rearm()

    def answer_begun(self) -> None:
        """The answer is known: the client's end cancels nothing any more."""
        self.answering = True
        self._stream.rearm()

    @property
    def awaits_body(self) -> bool:
        """Whether the next byte is the client's duty."""
        return not self.body_is_complete and not self.answering


class ClientStream(trio.abc.HalfCloseableStream):
    """One accepted connection. `pump` has to run as long as it is used.

    Args:
        stream: the connection itself.
        times: its time limits.
        put_back: bytes that somebody has read from `stream` already; they come first.
    """

    def __init__(
        self, stream: trio.abc.HalfCloseableStream, times: Times, *, put_back: bytes = b""
    ) -> None:
        self._stream = stream
        self._times = times
        self._buffer = bytearray(put_back)
        self._ended = False
        self._broken = False
        self._discarding = False
        self._refused = False
        self._open: set[OpenRequest] = set()
        self._sending: trio.CancelScope | None = None
        self._held: bytearray | None = None
        self._reading = trio.CancelScope()
        self._send_until = math.inf
        self._read_something = trio.lowlevel.ParkingLot()
        self._made_room = trio.lowlevel.ParkingLot()
        self._answered = trio.lowlevel.ParkingLot()
        self._over = trio.Event()
        now = trio.current_time()
        self._last_data = now
        self._header_since: float | None = now if put_back else None
        self._silent_until = now + times.header_timeout

    @property
    def socket(self) -> trio.socket.SocketType:
        """The socket, for its addresses."""
        if not isinstance(self._stream, trio.SocketStream):
            raise TypeError("not a connection over a socket")
        return self._stream.socket

    # --- requests ------------------------------------------------------------------------------

    @contextmanager
    def request(self) -> Iterator[OpenRequest]:
        """A request is open inside; what runs there is cancelled when its client goes."""
        with trio.CancelScope() as scope:
            request = OpenRequest(self, scope)
            self._open.add(request)
            self._header_since = None
            self._last_data = trio.current_time()
            self.rearm()
            if self._ended:
                self._abandon()
            try:
                yield request
            finally:
                self._open.discard(request)
                self._silent_until = trio.current_time() + self._times.idle_timeout
                self.rearm()
                if not self._open:
                    self._answered.unpark_all()

    async def wait_over(self) -> None:
        """Wait until the client has gone, and no request of its is open any more."""
        await self._over.wait()
        while self._open:
            await self._answered.park()

    # --- reading -------------------------------------------------------------------------------

    async def pump(self) -> None:
        """Read until the client has gone, or took too long. Cancelled: the server ends."""
        try:
            while await self._pump_once():
                pass
        except trio.Cancelled:
            self._send_until = trio.current_time() + LAST_SEND
            if self._sending is not None:
                self._sending.deadline = min(self._sending.deadline, self._send_until)
            raise
        finally:
            self._ended = True
            self._abandon()
            self._over.set()
            self._read_something.unpark_all()

    async def _pump_once(self) -> bool:
        while len(self._buffer) >= READ_AHEAD and not self._discarding:
            await self._made_room.park()
        data: bytes | bytearray = b""
        with trio.CancelScope(deadline=self._deadline()) as self._reading:
            try:
                data = await self._stream.receive_some(CHUNK)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._broken = True
        if self._reading.cancelled_caught:
            await self._time_out()
        elif data and not self._discarding:
            self._last_data = trio.current_time()
            if not self._open and self._header_since is None:
                self._header_since = self._last_data
            self._buffer += data
            self._read_something.unpark_all()
        return bool(data)

    def rearm(self) -> None:
        """Count anew how long the next byte may take: a request began or went on."""
        self._reading.deadline = self._deadline()

    def _deadline(self) -> float:
        if any(request.awaits_body for request in self._open):
            return self._last_data + self._times.body_timeout
        if self._open:
            return math.inf
        if self._header_since is not None:
            return self._header_since + self._times.header_timeout
        return self._silent_until

    async def _time_out(self) -> None:
        """Say 408 to a client that has begun something; an idle connection just ends."""
        begun = self._header_since is not None or bool(self._open)
        answering = any(request.answering for request in self._open)
        if begun and not answering and self._sending is None:
            with trio.move_on_after(LAST_SEND):
                await self._send_or_lose(raw_error(408, "the request did not arrive in time"))
        self._broken = True

    def _abandon(self) -> None:
        """Cancel what nobody waits for any more."""
        for request in self._open:
            if not request.answering:
                self._broken = True  # not even an error may be written over it
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
        if self._broken:
            raise trio.BrokenResourceError("the client has gone")
        return b""

    # --- writing -------------------------------------------------------------------------------

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, each 64 KiB in `write_timeout` at most.

        Raises:
            trio.BrokenResourceError: the connection is lost, or the client does not read.
        """
        if self._refused:
            return
        words = self._in_our_words(data)
        if self._held is not None and len(self._held) + len(words) <= CHUNK:
            self._held += words
            return
        await self._send_held()
        await self._send_pieces(words)

    def hold(self) -> None:
        """Keep what is sent from now on, if it is little, until `release`.

        Hypercorn sends the head of an answer, its body and its end one by one; three small writes
        cost as many calls into the kernel, and wake up the client as often.
        """
        if self._held is None:
            self._held = bytearray()

    async def release(self) -> None:
        """Send what was kept, together. A client that has gone is noticed by `pump`."""
        try:
            await self._send_held()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True
        finally:
            self._held = None

    async def _send_held(self) -> None:
        if self._held:
            held, self._held = self._held, bytearray()
            await self._send_pieces(held)

    async def _send_pieces(self, data: bytes | bytearray | memoryview) -> None:
        with memoryview(data) as view:
            for start in range(0, len(view), CHUNK):
                if self._broken:
                    raise trio.BrokenResourceError("the client has gone")
                await self._send_in_time(view[start : start + CHUNK])

    async def _send_in_time(self, piece: memoryview) -> None:
        until = min(trio.current_time() + self._times.write_timeout, self._send_until)
        try:
            with trio.CancelScope(deadline=until) as self._sending:
                await self._stream.send_all(piece)
            late = self._sending.cancelled_caught
        finally:
            self._sending = None
        if late:
            self._broken = True
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the client does not read its answer")

    def _in_our_words(self, data: bytes | bytearray | memoryview) -> bytes | bytearray | memoryview:
        """What is to be sent; Hypercorn's own answers to broken HTTP get a body."""
        if any(request.answering for request in self._open):
            return data
        head = bytes(data[:12])
        if not head.startswith(b"HTTP/1.1 4"):
            return data
        self._refused = True  # what it still says belongs to the answer that was replaced
        return raw_error(int(head[9:]))

    async def _send_or_lose(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._broken = True

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream's own."""
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As the stream's own."""
        await self.release()
        await self._stream.send_eof()

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
                with trio.move_on_after(LINGER):
                    await self._over.wait()
        finally:
            await self._stream.aclose()

    def _is_still_sending(self) -> bool:
        if self._ended or self._broken:
            return False
        unfinished = any(not request.body_is_complete for request in self._open)
        return unfinished or self._header_since is not None
