"""Where the server listens: a TCP address, or a unix socket instead."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from supervisor.config import Config

__all__ = ["ListenError", "Listening", "listening"]

KEEPALIVE_AFTER: Final = 60
"""Seconds of silence after which TCP asks whether the client is still there."""

SOCKET_MODE: Final = 0o660
"""Owner and group may connect: a sidecar shares the group."""

PATH_MAX: Final = 107
"""Bytes of a unix socket's path."""

BACKLOG: Final = 65535
"""Connections that may wait to be accepted; the kernel's own limit is lower."""


class ListenError(OSError):
    """The address cannot be listened on; the text is one line for the operator."""


@frozen
class Listening:
    """What is listened on."""

    listeners: list[trio.SocketListener]
    url: str
    """For people: `http://127.0.0.1:5000`, `unix:/run/model.sock`."""
    port: int | None
    """The real one; None: a unix socket has none."""


@asynccontextmanager
async def listening(config: Config) -> AsyncIterator[Listening]:
    """Listen as `config` says; at the end nothing is left of it.

    Raises:
        ListenError: the address is in use, not allowed, not one of this machine or impossible.
    """
    if config.uds is not None:
        with _unix(Path(config.uds)) as listener:
            yield Listening([listener], f"unix:{config.uds}", None)
        return
    listeners = await _open_tcp(config.host, config.port)
    port: int = listeners[0].socket.getsockname()[1]
    scheme = "http" if config.tls_cert is None else "https"
    try:
        yield Listening(listeners, f"{scheme}://{_in_url(config.host)}:{port}", port)
    finally:
        for listener in listeners:
            listener.socket.close()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# --- TCP ----------------------------------------------------------------------------------------


async def _open_tcp(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on every address of `host`; port 0 means any free port, and only one address."""
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


# --- a unix socket ------------------------------------------------------------------------------


@contextmanager
def _unix(path: Path) -> Iterator[trio.SocketListener]:
    """Listen; at the end the file is removed, unless another server's has taken its place."""
    listener = _open_unix(path)
    ours = path.lstat()
    try:
        yield listener
    finally:
        listener.socket.close()
        with suppress(FileNotFoundError):
            if os.path.samestat(path.lstat(), ours):
                path.unlink()


def _open_unix(path: Path) -> trio.SocketListener:
    if len(os.fsencode(path)) > PATH_MAX:
        raise ListenError(f"cannot listen on {path}: a socket's path has at most {PATH_MAX} bytes")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # What the file is made with; so it is never open to more than it will be.
        os.fchmod(listener.fileno(), SOCKET_MODE)
        _bind(listener, path)
        path.chmod(SOCKET_MODE)  # which the umask may have narrowed
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if isinstance(error, ListenError):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ListenError(f"cannot listen on {path}: {reason}") from error
    return trio.SocketListener(trio.socket.from_stdlib_socket(listener))


def _bind(listener: socket.socket, path: Path) -> None:
    """Bind, in the place of the socket file of a server that is dead."""
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _remove_dead(path)
        listener.bind(os.fspath(path))


def _remove_dead(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise ListenError(f"cannot listen on {path}: there is something that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)  # a server with a full backlog lives, too
        result = asking.connect_ex(os.fspath(path))
    if result in (0, errno.EAGAIN):
        raise ListenError(f"cannot listen on {path}: another server does; end it, or take another")
    if result != errno.ECONNREFUSED:
        reason = f"whether another server does cannot be told ({os.strerror(result)})"
        raise ListenError(f"cannot listen on {path}: {reason}")
    path.unlink()
