"""Servers of a few lines each, which are slow or send on: everything on 127.0.0.1."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAIT = 30.0
"""Seconds after which a slow server gives up, so that a test that waits for it fails."""

PACE = 0.02
"""Seconds between two bytes."""


class RawServer:
    """Answers each connection with a function, in a thread.

    Attributes:
        url: its own.
        gone: set when a client has closed a connection, or it was cut.
        reached: set when a request has come.
        requests: the first line of each.
    """

    def __init__(self, answer: Callable[[RawServer, socket.socket], None]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._answer = answer
        self._connections: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.reached = threading.Event()
        self.gone = threading.Event()
        self.over = threading.Event()
        self.requests: list[str] = []

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(WAIT)
            self._connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._answer(self, connection)
            except OSError:
                self.gone.set()

    def read_request(self, connection: socket.socket) -> str:
        """Read to the end of the header; the target of the request."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                raise ConnectionResetError
            data += more
        line = data.partition(b"\r\n")[0].decode()
        self.requests.append(line)
        self.reached.set()
        return line.split(" ")[1]

    def trickle(self, connection: socket.socket, piece: bytes) -> None:
        """Send `piece` again and again, slowly."""
        for _ in range(int(WAIT / PACE)):
            connection.sendall(piece)
            if self.over.wait(PACE):
                return

    def wait_until_gone(self) -> None:
        """Wait until a client that has come is gone."""
        assert not self.reached.is_set() or self.gone.wait(WAIT)

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(answer: Callable[[RawServer, socket.socket], None]) -> Iterator[RawServer]:
    server = RawServer(answer)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(WAIT)


# --- ways to be slow --------------------------------------------------------------------------


def slow_body(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    server.trickle(connection, b"x")


def slow_header(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nslow: ")
    server.trickle(connection, b"y")


def slow_chunks(server: RawServer, connection: socket.socket) -> None:
    """Each chunk is there at once, but there is no end of them."""
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    server.trickle(connection, b"1\r\nx\r\n")


def slow_redirects(server: RawServer, connection: socket.socket) -> None:
    """Each answer takes a little, and leads to another one, of which the last trickles."""
    target = server.read_request(connection)
    if target.count("r") < 4:
        server.over.wait(PACE)
        answer = f"HTTP/1.1 302 Found\r\nlocation: {target}r\r\ncontent-length: 0\r\n\r\n"
        connection.sendall(answer.encode())
        slow_redirects(server, connection)
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        server.trickle(connection, b"x")


def silent(server: RawServer, connection: socket.socket) -> None:
    """Takes the request, or the beginning of TLS, and says nothing."""
    if not connection.recv(65536):
        raise ConnectionResetError
    server.reached.set()
    while connection.recv(65536):
        pass
    server.gone.set()


def slow_tls(server: RawServer, connection: socket.socket) -> None:
    """Begins a TLS record of the handshake that takes for ever."""
    connection.recv(65536)
    server.reached.set()
    connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03")
    server.trickle(connection, b"x")


def closing(server: RawServer, connection: socket.socket) -> None:
    """Hangs up without an answer: the client may try again."""
    server.read_request(connection)


SLOW = [slow_body, slow_header, slow_chunks, slow_redirects, silent]


@contextmanager
def full_listener() -> Iterator[str]:
    """The URL of somebody who never takes a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(2):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()
