"""The HTTP server: our listeners, Hypercorn's protocol, the lifespan of the application.

`hypercorn.trio.serve` would do the same, but leaves no place between accepting a connection and
its first byte, which is where our limits are and where a faster front will be.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

import structlog
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.logging import Logger
from hypercorn.trio.lifespan import Lifespan
from hypercorn.utils import wrap_app

from supervisor.http.app import create_app
from supervisor.http.connection import Connections
from supervisor.http.draining import Draining
from supervisor.http.ready_file import ready_file

if TYPE_CHECKING:
    import logging

    from supervisor.config import Config, Limits
    from supervisor.interface import Service

__all__ = ["ListenError", "open_listeners", "serve_http"]

KEEPALIVE_AFTER: Final = 60
"""Seconds of silence after which TCP asks whether the client is still there."""


class ListenError(OSError):
    """The address cannot be listened on; the text is one line for the operator."""


async def serve_http(
    service: Service,
    config: Config,
    *,
    draining: Draining | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status.started(port)` once connections are accepted.

    Being cancelled closes the listeners and ends every connection, its request cancelled: the
    caller waits for open requests first, with `draining`.

    Raises:
        ListenError: the address cannot be listened on.
    """
    draining = draining or Draining()
    hypercorn = _hypercorn_config(config.limits)
    quart = create_app(service, config, draining, ready_file())
    app = wrap_app(quart, hypercorn.wsgi_max_body_size, "asgi")
    connections = Connections(app, hypercorn, config, draining)
    listeners = await open_listeners(config.host, config.port)
    lifespan = Lifespan(app, hypercorn, {})
    async with trio.open_nursery() as nursery:
        await nursery.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        await nursery.start(trio.serve_listeners, connections.serve, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def open_listeners(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address of `host`; port 0 means any free port, and only one address.

    Raises:
        ListenError: the address is in use, not allowed, or not one of this machine.
    """
    if not 0 <= port <= 65535:  # getaddrinfo would take it modulo 65536
        raise ListenError(f"cannot listen on {host}:{port}: a port is a number up to 65535")
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {_reason(error)}") from error
    if port == 0:
        for listener in listeners[1:]:
            await listener.aclose()
        del listeners[1:]
    for listener in listeners:
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_AFTER)
    return listeners


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return str(error.args[-1])
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; choose another one with --port"
    return os.strerror(error.errno) if error.errno else str(error)


def _hypercorn_config(limits: Limits) -> HypercornConfig:
    """Hypercorn without its own limits of time: those are the connection's."""
    config = HypercornConfig()
    config.h11_max_incomplete_size = limits.max_header
    config.h2_max_header_list_size = limits.max_header
    config.include_server_header = False
    config.keep_alive_timeout = math.inf
    config.keep_alive_max_requests = sys.maxsize
    config.logger_class = _HypercornLog
    return config


class _HypercornLog(Logger):
    """Sends Hypercorn's log the way of ours, and no line for each request."""

    def __init__(self, config: HypercornConfig) -> None:
        self.access_log_format = config.access_log_format
        self.access_logger: logging.Logger | None = None
        self.error_logger = structlog.get_logger("supervisor.http.hypercorn")
