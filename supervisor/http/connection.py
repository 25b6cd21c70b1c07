"""One connection after another: counted, limited, secured, and given to `Http1Server`.

This is where a faster front will look at a connection first: it answers what it can, and hands
on the rest, with the bytes that it has read put back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio
from hypercorn.trio.worker_context import WorkerContext

from supervisor.http.client_stream import ClientStream
from supervisor.http.errors import raw_error
from supervisor.http.http1 import Ends, Http1Server
from supervisor.http.tracked_app import TrackedApp

if TYPE_CHECKING:
    import ssl

    from hypercorn.config import Config as HypercornConfig
    from hypercorn.typing import AppWrapper

    from supervisor.config import Config
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
        tls: what secures every connection; None: nothing does.
    """

    def __init__(
        self,
        app: AppWrapper,
        hypercorn: HypercornConfig,
        config: Config,
        draining: Draining,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._app = app
        self._hypercorn = hypercorn
        self._times = config.times
        self._max = config.limits.max_connections
        self._draining = draining
        self._tls = tls
        self._context = WorkerContext(None)
        self._served = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve a connection until it ends, or refuse it if there are too many.

        Whatever goes wrong inside ends this connection only.
        """
        try:
            if self._served < self._max:
                await self._serve_counted(stream)
            elif self._tls is None:  # a handshake would cost more than it tells
                await _refuse(stream)
        except* Exception as errors:
            log.error("a connection failed", exc_info=errors)  # noqa: TRY400 - in a group
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_counted(self, stream: trio.SocketStream) -> None:
        # One that is refused takes no place: who tries again and again would keep all others out.
        self._served += 1
        try:
            await self._serve(stream)
        finally:
            self._served -= 1

    async def _serve(self, accepted: trio.SocketStream) -> None:
        try:
            ends = Ends.of(accepted.socket, is_tls=self._tls is not None)
        except OSError:
            return  # it has gone
        stream = await self._secured(accepted)
        if stream is None:
            return
        client = ClientStream(stream, self._times)
        app = TrackedApp(self._app, client, self._draining)
        server = Http1Server(app, self._hypercorn, self._context, client, ends)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.pump)
            await server.run()
            nursery.cancel_scope.cancel()

    async def _secured(self, accepted: trio.SocketStream) -> trio.abc.Stream | None:
        """The connection after its handshake; None: there was none, or none in time."""
        if self._tls is None:
            return accepted
        secured = trio.SSLStream(accepted, self._tls, server_side=True, https_compatible=True)
        with trio.move_on_after(self._times.header_timeout):
            try:
                await secured.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None  # what speaks no TLS, or does not trust us
            return secured
        return None


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
