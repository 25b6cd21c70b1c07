"""One connection after another: counted, limited, and given to Hypercorn's `TCPServer`.

This is where a faster front will look at a connection first: it answers what it can, and hands
on the rest, with the bytes that it has read put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from supervisor.http.client_stream import ClientStream
from supervisor.http.errors import raw_error

if TYPE_CHECKING:
    from hypercorn.config import Config as HypercornConfig
    from hypercorn.typing import (
        AppWrapper,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
        Scope,
    )

    from supervisor.config import Config
    from supervisor.http.client_stream import OpenRequest
    from supervisor.http.draining import Draining

__all__ = ["Connections"]

log = structlog.get_logger("supervisor.http.connection")

REFUSAL_TIME: Final = 1.0
"""Seconds for telling a client that there are too many."""


class Connections:
    """What `trio.serve_listeners` calls for each connection.

    Args:
        app: the ASGI application, wrapped for Hypercorn.
        hypercorn: Hypercorn's configuration.
        config: times and limits.
        draining: counts the open requests, and says when to close after an answer.
    """

    def __init__(
        self, app: AppWrapper, hypercorn: HypercornConfig, config: Config, draining: Draining
    ) -> None:
        self._app = app
        self._hypercorn = hypercorn
        self._times = config.times
        self._max = config.limits.max_connections
        self._draining = draining
        self._context = WorkerContext(None)
        self._open = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection until it ends, or refuse it if there are too many.

        Whatever goes wrong inside ends this connection only.
        """
        self._open += 1
        try:
            if self._open > self._max:
                await _refuse(stream)
            else:
                await self._serve(stream)
        except* Exception as errors:
            log.error("a connection failed", exc_info=errors)  # noqa: TRY400 - in a group
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        client = ClientStream(stream, self._times)
        app = _TrackedApp(self._app, client, self._draining)
        # It is typed for a TLS stream, and takes any that has a socket.
        stream_for_hypercorn: Any = client
        server = TCPServer(
            app, self._hypercorn, self._context, ConnectionState({}), stream_for_hypercorn
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.pump)
            nursery.start_soon(_end_with_client, client, nursery.cancel_scope)
            await server.run()
            nursery.cancel_scope.cancel()


async def _end_with_client(client: ClientStream, connection: trio.CancelScope) -> None:
    # Hypercorn would keep a closed connection for its keep-alive timeout.
    await client.wait_over()
    connection.cancel()


async def _refuse(stream: trio.SocketStream) -> None:
    with trio.move_on_after(REFUSAL_TIME):
        try:
            await stream.send_all(raw_error(503, "too many connections"))
            await stream.send_eof()
            # Closing with unread data would reset the connection, and lose the answer.
            async for _ in stream:
                pass
        except trio.BrokenResourceError:
            return


class _TrackedApp:
    """The application for one connection: tells the stream where each request stands."""

    def __init__(self, app: AppWrapper, client: ClientStream, draining: Draining) -> None:
        self._app = app
        self._client = client
        self._draining = draining

    async def __call__(
        self,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Any,
        call_soon: Any,
    ) -> None:
        with self._draining.request(), self._client.request() as request:
            tracked = _Tracked(
                receive, send, self._client, request, self._draining, _is_http1(scope)
            )
            await self._app(scope, tracked.receive, tracked.send, sync_spawn, call_soon)


class _Tracked:
    """The two ends of one request, listened to."""

    def __init__(
        self,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        client: ClientStream,
        request: OpenRequest,
        draining: Draining,
        http1: bool,
    ) -> None:
        self._receive = receive
        self._send = send
        self._client = client
        self._request = request
        self._draining = draining
        self._http1 = http1

    async def receive(self) -> ASGIReceiveEvent:
        event = await self._receive()
        if event["type"] == "http.request" and not event.get("more_body", False):
            self._request.body_complete()
        return event

    async def send(self, event: ASGISendEvent) -> None:
        if event["type"] == "http.response.start":
            self._request.answer_begun()
            event = {**event, "headers": self._headers(list(event.get("headers", [])))}
        # With the last event Hypercorn may close the connection, and Quart cancels what sends it
        # at the same moment: the close would not happen. The stream bounds how long it takes.
        with trio.CancelScope(shield=True):
            # Not with HTTP/2, where several requests share the connection.
            if self._http1:
                self._client.hold()
            await self._send(event)
            if self._http1:
                await self._client.release()

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """With `connection: close` in a drain; HTTP/2 has no such header."""
        others = [pair for pair in headers if pair[0].lower() != b"connection"]
        if not self._http1:
            return others
        return [*others, (b"connection", b"close")] if self._draining.begun else headers


def _is_http1(scope: Scope) -> bool:
    return str(scope.get("http_version", "1.1")).startswith("1")
