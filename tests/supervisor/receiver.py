"""A receiver of uploads: an HTTP server on a real socket that answers as a test tells it to."""

from __future__ import annotations

import hashlib
import socket
import struct
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
KEPT_MAX = 100_000


def answer(status: int, *headers: str) -> bytes:
    """A response without a body."""
    lines = [f"HTTP/1.1 {status} Whatever", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@define
class Received:
    """One request."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""
    """The beginning of it."""
    size: int = 0
    digest: str = ""


Respond: TypeAlias = "Callable[[Received], Awaitable[bytes | None]]"


@define(eq=False)
class Receiver:
    """Records what it receives.

    Attributes:
        respond: what is answered to a request, None for a reset; awaited, it may take its time.
        requests: those that were received whole, in the order of their ends.
    """

    respond: Respond
    requests: list[Received] = field(factory=list)
    connections: int = 0
    begun: int = 0
    """Requests of which the header has come."""
    port: int = 0
    _news: trio.Event = field(factory=trio.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def wait_begun(self, count: int) -> None:
        """Wait until so many requests have begun."""
        while self.begun < count:
            await self._news.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Handle one connection."""
        self.connections += 1
        data = b""
        async with stream:
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        if not (more := await stream.receive_some()):
                            return
                        data += more
                    head, _, data = data.partition(b"\r\n\r\n")
                    data = await self._request(stream, head.decode("latin-1"), data)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _request(self, stream: trio.SocketStream, head: str, data: bytes) -> bytes:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        received = Received(method, target, headers)
        self.begun += 1
        self._news.set()
        self._news = trio.Event()
        digest = hashlib.sha256()
        left = int(headers.get("content-length", 0))
        while left:
            piece, data = data[:left], data[left:]
            digest.update(piece)
            received.body += piece[: KEPT_MAX - len(received.body)]
            received.size += len(piece)
            left -= len(piece)
            if left and not (data := await stream.receive_some(65536)):
                return b""
        received.digest = digest.hexdigest()
        self.requests.append(received)
        response = await self.respond(received)
        if response is None:
            linger = struct.pack("ii", 1, 0)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            stream.socket.close()
            raise trio.ClosedResourceError
        await stream.send_all(response)
        return data


@asynccontextmanager
async def receiving(respond: Respond) -> AsyncIterator[Receiver]:
    """A receiver that runs while the block does."""
    receiver = Receiver(respond)
    async with trio.open_nursery() as nursery:
        # Not at every address: at 127.0.0.2 nobody is to answer.
        serve = partial(trio.serve_tcp, host="127.0.0.1")
        listeners = await nursery.start(serve, receiver.serve, 0)
        receiver.port = listeners[0].socket.getsockname()[1]
        yield receiver
        nursery.cancel_scope.cancel()


def always(response: bytes | None) -> Respond:
    """Answers the same to everything."""
    return in_turn(response)


def in_turn(*responses: bytes | None) -> Respond:
    """Answers one after the other; the last one again and again."""
    left = list(responses)

    async def respond(_: Received) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return left.pop(0) if len(left) > 1 else left[0]

    return respond


async def never(_: Received) -> bytes:
    """Answers nothing."""
    await trio.sleep_forever()
    raise AssertionError
