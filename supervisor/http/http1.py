"""HTTP/1.1 on one connection: Hypercorn's protocol, and nothing else that Hypercorn speaks.

`hypercorn.trio.tcp_server.TCPServer` would also change to HTTP/2 and WebSockets when a client asks,
and takes the end of a client's sending half for its leaving.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import h11
import trio
from attrs import frozen
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

if TYPE_CHECKING:
    from hypercorn.config import Config as HypercornConfig
    from hypercorn.events import Event
    from hypercorn.trio.worker_context import WorkerContext
    from hypercorn.typing import AppWrapper

    from supervisor.http.client_stream import ClientStream

__all__ = ["Ends", "Http1Connection", "Http1Server"]

_UPGRADES: Final = frozenset({b"upgrade", b"http2-settings"})

_TARGET: Final = re.compile(rb"/|(?i:https?)://[^/?#]|\*$")
"""How a target begins that is one of a server (RFC 9112, 3.2), not of a proxy."""

_LINE_ENDS: Final = len(b" ") + len(b" HTTP/1.1\r\n") + len(b"\r\n")
_FIELD_ENDS: Final = len(b": \r\n")


@frozen
class Ends:
    """The two ends of a connection, for the application."""

    client: tuple[str, int] | None
    """None on a unix socket."""
    server: tuple[str, int] | None
    is_tls: bool = False

    @classmethod
    def of(cls, socket: trio.socket.SocketType, *, is_tls: bool) -> Ends:
        """The ends of a connected socket.

        Raises:
            OSError: the client has gone already.
        """
        client = parse_socket_addr(socket.family, socket.getpeername())
        return cls(client, parse_socket_addr(socket.family, socket.getsockname()), is_tls)


class Http1Connection(h11.Connection):
    """A server's side of h11 that knows the limit of a header exactly, and no other protocol.

    h11 itself refuses a header only while it is incomplete: as much as one read brings can pass.

    Args:
        max_header: bytes of request line and header together.
    """

    def __init__(self, max_header: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=max_header)
        self._max_header = max_header

    @property
    def is_inside_header(self) -> bool:
        """Whether it has the beginning of a request, and waits for the rest of its header."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11's, but a request that asks for another protocol is one that does not ask.

        Raises:
            h11.RemoteProtocolError: the client has made a mistake.
        """
        event = super().next_event()
        if not isinstance(event, h11.Request):
            return event
        if not event.http_version.startswith(b"1."):
            raise h11.RemoteProtocolError("only HTTP/1 is spoken here")
        if not _TARGET.match(event.target):
            raise h11.RemoteProtocolError("the target is no path, and no URL")
        if _size(event) > self._max_header:
            raise h11.RemoteProtocolError("the header is too long", error_status_hint=431)
        if any(name in _UPGRADES for name, _ in event.headers):
            return _without_upgrades(event)
        return event


def _size(request: h11.Request) -> int:
    fields = sum(len(name) + len(value) + _FIELD_ENDS for name, value in request.headers)
    return len(request.method) + len(request.target) + _LINE_ENDS + fields


def _without_upgrades(request: h11.Request) -> h11.Request:
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=[pair for pair in request.headers if pair[0] not in _UPGRADES],
        http_version=request.http_version,
    )


class Http1Server:
    """Serves one connection after its stream is open.

    Args:
        app: what answers, wrapped for Hypercorn.
        hypercorn: Hypercorn's configuration.
        context: Hypercorn's, shared by all connections.
        client: the connection; it is closed at the end.
        ends: its addresses.
    """

    def __init__(
        self,
        app: AppWrapper,
        hypercorn: HypercornConfig,
        context: WorkerContext,
        client: ClientStream,
        ends: Ends,
    ) -> None:
        self._client = client
        self._requests = TaskGroup()
        self._turn = trio.Lock()
        self._is_busy = False
        self._done = trio.lowlevel.ParkingLot()
        self._http = Http1Connection(hypercorn.h11_max_incomplete_size)
        self._protocol = H11Protocol(
            app,
            hypercorn,
            context,
            self._requests,
            ConnectionState({}),
            ends.is_tls,
            ends.client,
            ends.server,
            self._take,
        )
        self._protocol.connection = self._http

    async def run(self) -> None:
        """Serve one request after another until the connection ends."""
        try:
            async with self._requests:
                await self._read()
        finally:
            await self._client.aclose()

    async def _read(self) -> None:
        try:
            while data := await self._client.receive_some():
                # While a request is being answered, this waits before what has come behind it.
                await self._protocol.handle(RawData(data))
                if self._http.is_inside_header:
                    self._client.header_begun()
            # A client that has said all it wants to say still gets its answer. If it will not (see
            # `ClientStream`), its request is being cancelled.
            while self._is_busy and self._http.their_state is not h11.SEND_BODY:
                await self._done.park()
            await self._protocol.handle(RawData(b""))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await self._protocol.handle(Closed())

    async def _take(self, event: Event) -> None:
        """What Hypercorn's protocol wants done."""
        match event:
            case RawData(data=data):
                await self._send(data)
            case Closed():
                async with self._turn:
                    await self._client.aclose()
                await self._protocol.handle(Closed())
                self._is_done()
            case Updated(idle=idle):
                self._is_busy = not idle
                if idle:
                    self._is_done()

    async def _send(self, data: Any) -> None:
        try:
            # Half an answer is followed neither by another nor by the end. The stream bounds how
            # long it takes.
            async with self._turn:
                with trio.CancelScope(shield=True):
                    await self._client.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await self._protocol.handle(Closed())

    def _is_done(self) -> None:
        self._is_busy = False
        self._done.unpark_all()
