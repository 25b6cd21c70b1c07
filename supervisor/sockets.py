"""The slot sockets before they are connections: bound and listening, then accepted in index order.

The supervisor binds before the spawn; the worker learns the addresses from `init` and connects.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import struct
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import frozen

from protocol.transport import AbstractSockets, NamedSockets, Transport, fits_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["Peer", "SlotListeners"]

log = structlog.get_logger("supervisor.sockets")

_UCRED: Final = struct.Struct("iII")
"""Linux's `struct ucred`: pid, uid, gid."""

_OVERLOAD: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_OVERLOAD_PAUSE: Final = 0.1
"""Seconds until accept is tried again when the system is short of descriptors or memory."""

_BACKLOG: Final = 16
"""Connections that may wait for accept: one is ours, strangers may try to be the others."""


@frozen
class Peer:
    """Who made a connection, as the kernel saw it at `connect` (SO_PEERCRED)."""

    pid: int
    """0 if the process lives in a pid namespace that we cannot see."""
    uid: int
    gid: int


class SlotListeners:
    """One listening Unix socket a slot, closed and removed when the context is left.

    Named sockets in `folder`, which must be private (0700), when the longest path can be bound;
    else abstract ones, with 128 random bits in their names. File permissions do not protect
    abstract names, so every connection to one is checked at `accept`.

    Args:
        folder: where the socket files go.
        num_slots: how many.

    Raises:
        OSError: a socket could not be made or bound; none is left open.
    """

    def __init__(self, folder: str, num_slots: int) -> None:
        self.transport: Transport = (
            NamedSockets(folder, num_slots)
            if fits_named(folder, num_slots)
            else AbstractSockets(f"coglet-trio-{secrets.token_hex(16)}", num_slots)
        )
        self._open = ExitStack()
        self._listeners: list[trio.SocketListener] = []
        try:
            for index in range(num_slots):
                self._listen(self.transport.address(index))
        except BaseException:
            self.close()
            raise

    def _listen(self, address: str) -> None:
        # The standard library's bind: trio's is async, because it may look up a host's name.
        raw = self._open.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        raw.bind(address)
        if isinstance(self.transport, NamedSockets):
            self._open.callback(_unlink, address)
        raw.listen(_BACKLOG)
        self._listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(raw)))

    def __enter__(self) -> SlotListeners:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the listeners and every connection that was accepted. May be called again."""
        self._open.close()

    async def accept(self, trusts: Callable[[Peer], bool]) -> list[trio.SocketStream]:
        """Accept one connection a slot, in index order, then stop listening.

        The connections are closed by `close`, if nobody has closed them before.

        Args:
            trusts: asked for connections to abstract sockets; a stranger's is closed and logged.
        """
        checked = isinstance(self.transport, AbstractSockets)
        streams = []
        for index, listener in enumerate(self._listeners):
            stream = await _accept_one(listener)
            while checked and not trusts(peer := _peer_of(stream)):
                log.warning("Stranger's connection closed", slot=index, pid=peer.pid, uid=peer.uid)
                stream.socket.close()
                stream = await _accept_one(listener)
            self._open.callback(stream.socket.close)
            streams.append(stream)
        for listener in self._listeners:
            listener.socket.close()
        return streams


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


async def _accept_one(listener: trio.SocketListener) -> trio.SocketStream:
    while True:
        try:
            return await listener.accept()
        except OSError as error:
            if error.errno not in _OVERLOAD:
                raise
            log.warning("Cannot accept a slot's connection yet", error=str(error))
            await trio.sleep(_OVERLOAD_PAUSE)


def _peer_of(stream: trio.SocketStream) -> Peer:
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(raw))
