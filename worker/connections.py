"""Connections for downloads: only to addresses that are allowed, and all ended at once."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from worker.network_streams import ConnectionFailed, UrlRefused, tcp_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from worker.network_streams import NetworkStream

__all__ = ["AddressCheck", "Connections", "Network"]

AddressCheck: TypeAlias = "Callable[[str], None]"
"""Raises `UrlRefused` if an address may not be connected to."""


class Connections:
    """The open connections of some downloads. They are used by many threads, and ended by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: set[socket.socket] = set()
        self._cut = threading.Event()

    @property
    def is_cut(self) -> bool:
        """Whether all is over."""
        return self._cut.is_set()

    def cut(self) -> None:
        """End all connections, now and in the future. Whoever waits for one is woken by that."""
        with self._lock:
            self._cut.set()
            for handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it is not connected yet, or not any more

    def pause(self, seconds: float) -> bool:
        """Wait. True: all is over meanwhile."""
        return self._cut.wait(seconds)

    def hold(self, connection: socket.socket) -> socket.socket:
        """Have `cut` end a connection, from before it is made; the handle for `release`.

        The handle is a descriptor of its own: `connection` may be wrapped and closed at any time,
        and no `shutdown` meets another one that has got its number.

        Raises:
            ConnectionFailed: all is over.
        """
        handle = connection.dup()
        with self._lock:
            if not self._cut.is_set():
                self._handles.add(handle)
                return handle
        handle.close()
        raise ConnectionFailed("the prediction has ended")

    def release(self, handle: socket.socket) -> None:
        """The connection behind a handle is closed."""
        with self._lock:
            self._handles.discard(handle)
        handle.close()


class Network:
    """Makes connections, for one of httpcore's pools: what it calls a network backend.

    Args:
        connections: what ends them.
        check: is asked for every address that a name has, before any is connected to; None: all
            are allowed.
    """

    def __init__(self, connections: Connections, check: AddressCheck | None) -> None:
        self._connections = connections
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        """Resolve a name once, and connect to the first of its addresses that answers.

        The arguments are httpcore's; the last two never come.

        Raises:
            UrlRefused: one of them is not allowed.
            ConnectionFailed: none answers, each within `timeout` seconds.
        """
        targets = [(family, target) for family, _, _, _, target in _resolve(host, port)]
        if self._check is not None:
            for _, target in targets:
                self._check(str(target[0]))
        failure = ConnectionFailed("its name has no address")
        for family, target in targets:
            try:
                return self._connect(family, target, timeout)
            except ConnectionFailed as error:
                failure = error
        raise failure

    def _connect(self, family: int, target: Any, timeout: float | None) -> NetworkStream:
        try:
            connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            try:
                handle = self._connections.hold(connection)
            except BaseException:
                connection.close()
                raise
            stream = tcp_stream(connection, lambda: self._connections.release(handle))
            try:
                self._wait_for(connection, target, timeout)
            except BaseException:
                stream.close()
                raise
        except OSError as error:
            raise ConnectionFailed(f"cannot connect: {error.strerror or error}") from error
        return stream

    def _wait_for(self, connection: socket.socket, target: Any, timeout: float | None) -> None:
        code = connection.connect_ex(target)
        if code == errno.EINPROGRESS:
            # Asked only now: a `cut` before this call has not met it, one after it wakes `poll`.
            if self._connections.is_cut:
                raise ConnectionFailed("the prediction has ended")
            poll = select.poll()
            poll.register(connection, select.POLLOUT)
            if not poll.poll(None if timeout is None else timeout * 1000):
                raise ConnectionFailed("no connection in time")
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _resolve(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise ConnectionFailed(f"its name cannot be resolved: {error.strerror}") from error
    except UnicodeError as error:  # a part of the name is empty or too long
        raise UrlRefused("its host is not a name") from error
