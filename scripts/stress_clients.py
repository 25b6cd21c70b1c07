"""What the clients of `stress.py` do to a server: most of it nobody should.

Each act opens a connection of its own, does one thing and closes it. Whatever is random comes from
the client's own generator, so a seed says who does what in which order.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import h11
import trio

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

__all__ = ["Client", "Tally", "request_bytes"]

_POST = b"POST /predictions HTTP/1.1\r\n"
ANSWER_LIMIT = 60.0
"""Seconds in which an act has to be over."""


class Tally:
    """What came back from the server.

    Attributes:
        acts: how often each was begun.
        statuses: how often each act met each status; 0 is a connection that was closed.
        wrong: what should not be, as sentences; the first ones.
    """

    def __init__(self) -> None:
        self.acts: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []

    def met(self, act: str, status: int, body: bytes) -> None:
        """Note an answer, and whether it is a wrong one."""
        self.statuses[act, status] += 1
        if status >= 500 and status != 503:
            self.complain(f"{act}: {status}: {body[:300]!r}")
        elif status == 200 and b'"status":"failed"' in body:
            # The model does not fail: whatever does is ours.
            self.complain(f"{act}: a prediction failed: {body[-300:]!r}")

    def complain(self, what: str) -> None:
        """Note something else that is wrong."""
        if len(self.wrong) < 20:
            self.wrong.append(what)


def request_bytes(method: str, path: str, body: Any = None, *headers: str) -> bytes:
    """A whole request; `headers` are lines."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Client:
    """One client, which does one act after the other."""

    def __init__(self, port: int, number: int, random: random.Random, tally: Tally) -> None:
        self._port = port
        self._number = number
        self._random = random
        self._tally = tally
        self._count = 0

    async def run(self, deadline: float) -> None:
        """Act until the clock says `deadline`."""
        acts = [
            (self.predict, 6),
            (self.send_a_lot, 1),
            (self.send_slowly, 2),
            (self.leave_at_once, 3),
            (self.leave_in_the_middle, 3),
            (self.send_half, 3),
            (self.send_garbage, 2),
            (self.cancel, 3),
            (self.put_again, 3),
            (self.read_stream, 2),
            (self.leave_stream, 4),
            (self.follow_late, 2),
            (self.ask_twice_at_once, 1),
            (self.look_around, 2),
        ]
        ways, weights = zip(*acts, strict=True)
        while trio.current_time() < deadline:
            act = self._random.choices(ways, weights)[0]
            with trio.move_on_after(ANSWER_LIMIT) as limit:
                self._tally.acts[act.__name__] += 1
                try:
                    await act()
                except (trio.BrokenResourceError, h11.RemoteProtocolError, OSError):
                    self._tally.met(act.__name__, 0, b"")
            if limit.cancelled_caught:
                self._tally.complain(f"{act.__name__}: not over after {ANSWER_LIMIT} s")

    # --- acts: well-behaved ------------------------------------------------------------------

    async def predict(self) -> None:
        """A prediction, waited for."""
        await self._exchange("predict", self._post(chunks=self._random.randrange(20)))

    async def send_a_lot(self) -> None:
        """A big input, or a big output."""
        if self._random.random() < 0.5:
            await self._exchange("send_a_lot", self._post(text="x" * 1_000_000))
        else:
            await self._exchange("send_a_lot", self._post(size=1_500_000))

    async def read_stream(self) -> None:
        """A stream, read to its end."""
        request = self._post("accept: text/event-stream", chunks=self._random.randrange(200))
        await self._exchange("read_stream", request)

    async def cancel(self) -> None:
        """A prediction that is canceled by somebody else."""
        id = self._new_id()
        body = {"id": id, "input": {"chunks": 100, "pause": 0.1}}
        request = request_bytes("POST", "/predictions", body, "prefer: respond-async")
        status = await self._exchange("cancel", request)
        await trio.sleep(self._random.random() * 0.1)
        if status == 202:
            await self._exchange("cancel", request_bytes("POST", f"/predictions/{id}/cancel"))

    async def put_again(self) -> None:
        """The same id by `PUT` from several places at once."""
        id = self._new_id()
        body = {"input": {"chunks": 3, "pause": 0.02}}
        request = request_bytes("PUT", f"/predictions/{id}", body)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(self._exchange, "put_again", request)

    async def follow_late(self) -> None:
        """A stream by `GET`, of a prediction that runs or has ended, or of none."""
        id = self._new_id()
        body = {"id": id, "input": {"chunks": 20, "pause": 0.005}}
        await self._exchange(
            "follow_late", request_bytes("POST", "/predictions", body, "prefer: respond-async")
        )
        await trio.sleep(self._random.random() * 0.2)
        headers = ("accept: text/event-stream", f"last-event-id: {self._random.randrange(5)}")
        path = f"/predictions/{id}/stream"
        await self._exchange("follow_late", request_bytes("GET", path, None, *headers))

    async def look_around(self) -> None:
        """What else there is to ask."""
        path = self._random.choice(["/", "/health-check", "/openapi.json", "/predictions", "/no"])
        method = self._random.choice(["GET", "GET", "HEAD", "DELETE"])
        await self._exchange("look_around", request_bytes(method, path), method)

    # --- acts: not so -----------------------------------------------------------------------

    async def leave_at_once(self) -> None:
        """A whole request, and gone before the answer."""
        async with self._connected() as stream:
            await stream.send_all(self._post(chunks=10, pause=0.05))

    async def leave_in_the_middle(self) -> None:
        """Gone while the prediction runs, now and then with a reset."""
        async with self._connected() as stream:
            await stream.send_all(self._post(chunks=20, pause=0.05, size=100_000))
            await trio.sleep(self._random.random() * 0.3)
            if self._random.random() < 0.5:
                linger = struct.pack("ii", 1, 0)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def leave_stream(self) -> None:
        """Gone after the first events."""
        async with self._connected() as stream:
            request = self._post("accept: text/event-stream", chunks=100, pause=0.02, size=2_000)
            await stream.send_all(request)
            for _ in range(self._random.randrange(1, 5)):
                if b"HTTP/1.1 409 " in await stream.receive_some():
                    return

    async def send_half(self) -> None:
        """Part of a request."""
        async with self._connected() as stream:
            request = self._post(text="x" * 200)
            await stream.send_all(request[: self._random.randrange(1, len(request))])
            await trio.sleep(self._random.random() * 0.1)

    async def send_garbage(self) -> None:
        """Bytes that are nothing, or look like something in the beginning."""
        start = self._random.choice(
            [
                b"",
                b"GET ",
                _POST,
                _POST + b"host: x\r\ncontent-length: -5\r\n\r\n",
                _POST + b"host: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            ]
        )
        async with self._connected() as stream:
            await stream.send_all(start + self._random.randbytes(self._random.randrange(2000)))
            await stream.send_eof()
            await self._answer("send_garbage", stream, "POST")

    async def send_slowly(self) -> None:
        """A request in many pieces, with pauses."""
        request = self._post(text="x" * 5_000)
        size = len(request) // self._random.randrange(2, 15) + 1
        async with self._connected() as stream:
            for start in range(0, len(request), size):
                await stream.send_all(request[start : start + size])
                await trio.sleep(self._random.random() * 0.03)
            await self._answer("send_slowly", stream, "POST")

    async def ask_twice_at_once(self) -> None:
        """Two requests on one connection, the second before the first answer."""
        async with self._connected() as stream:
            await stream.send_all(self._post(chunks=2, pause=0.01) + self._post())
            await self._answer("ask_twice_at_once", stream, "POST")

    # --- how --------------------------------------------------------------------------------

    def _new_id(self) -> str:
        self._count += 1
        return f"stress-{self._number}-{self._count}"

    def _post(self, *headers: str, **inputs: Any) -> bytes:
        return request_bytes("POST", "/predictions", {"input": inputs}, *headers)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[trio.SocketStream]:
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        try:
            yield stream
        finally:
            # Closing without a word, as those do who go.
            await trio.aclose_forcefully(stream)

    async def _exchange(self, act: str, request: bytes, method: str = "POST") -> int:
        async with self._connected() as stream:
            await stream.send_all(request)
            return await self._answer(act, stream, method)

    async def _answer(self, act: str, stream: trio.SocketStream, method: str) -> int:
        """Read one answer and note it; its status, 0 if the server has closed instead."""
        parser = h11.Connection(h11.CLIENT)
        # It has to believe that it has asked.
        parser.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
        parser.send(h11.EndOfMessage())
        status, body = 0, bytearray()
        while True:
            match parser.next_event():
                case h11.NEED_DATA:
                    parser.receive_data(await stream.receive_some(65536))
                case h11.Response(status_code=status):
                    pass
                case h11.Data(data=data):
                    body += data
                case h11.EndOfMessage() | h11.ConnectionClosed() | h11.PAUSED:
                    self._tally.met(act, status, bytes(body))
                    return status
