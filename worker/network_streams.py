"""The bytes of a connection, plain or through TLS, as httpcore asks for them.

Its interface is followed here without deriving from it: httpcore is not loaded yet when this is.
"""

from __future__ import annotations

import select
import ssl
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["ConnectionFailed", "NetworkStream", "UrlRefused", "tcp_stream"]

_RECORD_MAX: Final = 64 * 1024
"""Bytes of TLS that are read at once."""


class ConnectionFailed(Exception):
    """A connection could not be made, or broke. It may be tried again."""


class UrlRefused(Exception):
    """A URL leads where it may not lead, or to nobody who can prove who he is."""


class NetworkStream(Protocol):
    """What httpcore asks of a connection, and TLS of what it runs over.

    All raise `ConnectionFailed`: the connection broke, or nothing happened for `timeout` seconds.
    """

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Wait for some bytes; none at the end."""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of `buffer`."""

    def close(self) -> None:
        """Close the connection, at once."""

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Begin TLS; this stream is closed if that fails.

        Raises:
            UrlRefused: the certificate is not one for `server_hostname`, or nobody's we trust.
        """

    def get_extra_info(self, info: str) -> Any:
        """What httpcore wants to know: "ssl_object" and "is_readable"; None: nothing to say."""


def tcp_stream(connection: socket.socket, release: Callable[[], None]) -> NetworkStream:
    """The stream of a connection without TLS; `release` is called once, when it is closed."""
    return _TcpStream(connection, release)


class _TcpStream:
    def __init__(self, connection: socket.socket, release: Callable[[], None]) -> None:
        self._connection = connection
        self._release = release
        self._closed = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            self._connection.settimeout(timeout)
            return self._connection.recv(max_bytes)
        except TimeoutError as error:
            raise ConnectionFailed("nothing came in time") from error
        except OSError as error:
            raise _broken(error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._connection.settimeout(timeout)
            self._connection.sendall(buffer)
        except TimeoutError as error:
            raise ConnectionFailed("nothing was taken in time") from error
        except OSError as error:
            raise _broken(error) from error

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection.close()
            self._release()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        return _begin_tls(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # a connection at rest that can be read has ended
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            return bool(poll.poll(0))
        return None


class _TlsStream:
    """TLS over any stream; over another one of these, when a proxy is spoken to through TLS.

    Not `ssl.SSLSocket`, which cannot be had over anything but a socket. It is as fast (tried).
    """

    def __init__(self, below: NetworkStream, context: ssl.SSLContext, hostname: str | None) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    def shake_hands(self, timeout: float | None) -> None:
        self._run(timeout, self._tls.do_handshake)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            data: bytes = self._run(timeout, self._tls.read, max_bytes)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # as many servers end it, not all with the farewell that TLS asks for
        except ssl.SSLError as error:
            raise _broken(error) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            self._run(timeout, self._tls.write, buffer)
        except ssl.SSLError as error:
            raise _broken(error) from error

    def close(self) -> None:
        self._below.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        return _begin_tls(self, ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else self._below.get_extra_info(info)

    def _run(self, timeout: float | None, step: Callable[..., Any], *args: Any) -> Any:
        """Do `step`, with whatever has to be read and written for it."""
        while True:
            try:
                answer = step(*args)
            except ssl.SSLWantReadError:
                self._flush(timeout)
                data = self._below.read(_RECORD_MAX, timeout)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush(timeout)
                return answer

    def _flush(self, timeout: float | None) -> None:
        data = self._outgoing.read()
        if data:
            self._below.write(data, timeout)


def _begin_tls(
    below: NetworkStream, context: ssl.SSLContext, hostname: str | None, timeout: float | None
) -> _TlsStream:
    try:
        stream = _TlsStream(below, context, hostname)
        stream.shake_hands(timeout)
    except ssl.SSLCertVerificationError as error:
        below.close()
        raise UrlRefused(f"its certificate is not valid: {error.verify_message}") from error
    except ssl.SSLError as error:
        below.close()
        raise ConnectionFailed(f"TLS failed: {error.reason or error}") from error
    except BaseException:
        below.close()
        raise
    return stream


def _broken(error: OSError) -> ConnectionFailed:
    return ConnectionFailed(f"the connection broke: {error.strerror or error}")
