"""The HTTP server: our listeners, Hypercorn's protocol, the lifespan of the application.

`hypercorn.trio.serve` would do the same, but leaves no place between accepting a connection and
its first byte, which is where our limits are and where a faster front will be.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import structlog
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.logging import Logger
from hypercorn.trio.lifespan import Lifespan
from hypercorn.utils import wrap_app

from supervisor.http.app import create_app
from supervisor.http.connection import Connections
from supervisor.http.draining import Draining
from supervisor.http.listening import Listening, listening
from supervisor.http.ready_file import ready_file
from supervisor.http.tls import tls_context

if TYPE_CHECKING:
    import logging

    from supervisor.config import Config, Limits
    from supervisor.interface import Service

__all__ = ["serve_http"]


async def serve_http(
    service: Service,
    config: Config,
    *,
    draining: Draining | None = None,
    task_status: trio.TaskStatus[Listening] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status.started(…)` says where, once connections are accepted.

    Being cancelled closes the listeners and ends every connection, its request cancelled: the
    caller waits for open requests first, with `draining`.

    Raises:
        ListenError: the address cannot be listened on.
        TlsError: certificate or key cannot be used.
    """
    draining = draining or Draining()
    hypercorn = _hypercorn_config(config.limits)
    tls = tls_context(config, hypercorn)
    quart = create_app(service, config, draining, ready_file())
    app = wrap_app(quart, hypercorn.wsgi_max_body_size, "asgi")
    connections = Connections(app, hypercorn, config, draining, tls)
    lifespan = Lifespan(app, hypercorn, {})
    async with listening(config) as found, trio.open_nursery() as nursery:
        await nursery.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        await nursery.start(trio.serve_listeners, connections.serve, found.listeners)
        task_status.started(found)


def _hypercorn_config(limits: Limits) -> HypercornConfig:
    """Hypercorn without its own limits of time: those are the connection's."""
    config = HypercornConfig()
    config.h11_max_incomplete_size = limits.max_header
    config.include_server_header = False
    config.keep_alive_max_requests = sys.maxsize
    config.logger_class = _HypercornLog
    return config


class _HypercornLog(Logger):
    """Sends Hypercorn's log the way of ours, and no line for each request."""

    def __init__(self, config: HypercornConfig) -> None:
        self.access_log_format = config.access_log_format
        self.access_logger: logging.Logger | None = None
        self.error_logger = structlog.get_logger("supervisor.http.hypercorn")
