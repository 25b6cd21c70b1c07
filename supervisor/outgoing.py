"""HTTP clients for the calls that the supervisor makes itself: webhooks and uploads.

A client with a `Guard` connects only where clients of ours may make us connect to: each name is
resolved once, every address is judged, and what was judged is what is connected to. So neither a
redirect nor a second answer of the name server leads anywhere else. Where the environment names a
proxy for a URL, the proxy resolves the name, and where that leads is the business of whoever runs
it: then only hosts that are addresses themselves can be judged.
"""

from __future__ import annotations

import socket
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
import trio
from attrs import frozen

from protocol.addresses import addresses_in, is_host, refused_kind

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from protocol.messages import Trace

__all__ = ["Guard", "UrlRefused", "header_bytes", "open_client", "parse_url"]

_KEPT_CONNECTIONS: Final = 20
"""Connections at rest; those in use are bounded by who uses them."""

_KEPT_FOR: Final = 5.0
"""Seconds for which a connection at rest is kept."""

_RESOLVERS: Final = 8
"""Threads that one client may have waiting for name servers. They are none of those that the rest
of the supervisor uses, which slow name servers hold up as little as anything else can."""


class UrlRefused(Exception):
    """A URL leads where it may not lead, or cannot be followed. Trying again does not help.

    The text says why, and nothing of the URL.
    """


@frozen
class Guard:
    """Which addresses may be connected to: never those where clouds hand out credentials."""

    deny_private: bool
    """Whether only those of the public internet may."""

    def check(self, address: str) -> None:
        """Judge one address.

        Raises:
            UrlRefused: it may not be connected to.
        """
        kind = refused_kind(address, deny_private=False)
        if kind is not None:
            raise UrlRefused(f"leads to a {kind} address; those are always refused")
        if self.deny_private:
            kind = refused_kind(address, deny_private=True)
            if kind is not None:
                raise UrlRefused(f"leads to a {kind} address (refused by --deny-private-urls)")


def parse_url(text: str) -> httpx.URL:
    """The URL that `text` is.

    Raises:
        ValueError: it is not a URL, or not one of http or https with a host.
    """
    try:
        url = httpx.URL(text)
        # `host` decodes what begins with "xn--", and raises if that is no name: "http://xn--a/".
        is_good = url.scheme in ("http", "https") and bool(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError(f"not a URL: {error}") from error
    if not is_good:
        raise ValueError("not an http: or https: URL")
    return url


def header_bytes(headers: Mapping[str, str], trace: Trace | None) -> dict[bytes, bytes]:
    """The headers of a request that is part of `trace`."""
    every = dict(headers)
    if trace is not None:
        every["traceparent"] = trace.traceparent
        if trace.tracestate:
            every["tracestate"] = trace.tracestate
    # As bytes: those of the trace are the client's, who may have sent more than ASCII.
    return {name.encode(): value.encode() for name, value in every.items()}


def open_client(*, guard: Guard | None) -> httpx.AsyncClient:
    """A client, to be closed by who opens it. It takes a tenth of a second to make one.

    Its requests raise what httpx does, and `UrlRefused`. It has no limits of time and no cookies;
    it logs nothing.

    Args:
        guard: where it may connect to, after redirects too; None: anywhere.
    """
    return httpx.AsyncClient(
        transport=_Transport(httpx.create_ssl_context(), guard),
        timeout=None,  # noqa: S113 - who uses it sets every limit
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
    )


class _Transport(httpx.AsyncBaseTransport):
    """Sends each request by a pool of its own kind: direct, or through a proxy.

    Not `httpx.AsyncHTTPTransport` for the direct ones: it leaves no place for a network backend.
    """

    def __init__(self, ssl_context: ssl.SSLContext, guard: Guard | None) -> None:
        self._ssl_context = ssl_context
        self._guard = guard
        self._direct = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,
            max_keepalive_connections=_KEPT_CONNECTIONS,
            keepalive_expiry=_KEPT_FOR,
            network_backend=_Network(guard),
        )
        self._proxies = getproxies()
        self._through: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise UrlRefused("is neither an http: nor an https: URL")
        host = url.raw_host.decode("ascii")
        if not is_host(host):
            raise UrlRefused("its host is neither a name nor an address")
        proxy = self._proxy_for(url.scheme, host, url.port)
        if proxy is None:
            return await self._send_directly(request)
        if self._guard is not None:
            for address in addresses_in(host):
                self._guard.check(address)
        return await self._transport_through(proxy).handle_async_request(request)

    async def aclose(self) -> None:
        await self._direct.aclose()
        for transport in self._through.values():
            await transport.aclose()

    async def _send_directly(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _errors_of_httpx():
            response = await self._direct.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(response),
            extensions=response.extensions,
        )

    def _proxy_for(self, scheme: str, host: str, port: int | None) -> str | None:
        """The URL of the proxy that stands before a host, if the environment names one."""
        proxy = self._proxies.get(scheme) or self._proxies.get("all")
        if not proxy or proxy_bypass(host if port is None else f"{host}:{port}"):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _transport_through(self, proxy: str) -> httpx.AsyncHTTPTransport:
        if proxy not in self._through:
            try:
                self._through[proxy] = httpx.AsyncHTTPTransport(
                    verify=self._ssl_context,
                    proxy=proxy,
                    limits=httpx.Limits(max_keepalive_connections=_KEPT_CONNECTIONS),
                )
            except (ValueError, httpx.InvalidURL, ImportError) as error:
                raise UrlRefused(
                    "the proxy that this server's environment names cannot be used: it is no URL, "
                    "or SOCKS without the package socksio"
                ) from error
        return self._through[proxy]


class _Body(httpx.AsyncByteStream):
    """The body of a response, in pieces as they come."""

    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for piece in self._response.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with _errors_of_httpx():
            await self._response.aclose()


class _Network(httpcore.AsyncNetworkBackend):
    """Makes connections for a pool, to judged addresses."""

    def __init__(self, guard: Guard | None) -> None:
        self._guard = guard
        self._backend = httpcore.TrioBackend()
        self._resolvers = trio.CapacityLimiter(_RESOLVERS)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve a name once, and connect to the first of its addresses that answers.

        Args:
            host: a name or an address.
            port: where.
            timeout: seconds for each address, and before for the name.
            local_address: never comes.
            socket_options: never come.

        Raises:
            UrlRefused: one of the addresses is not allowed.
            httpcore.ConnectError, httpcore.ConnectTimeout: none answers.
        """
        addresses = await self._resolve(host, port, timeout)
        if self._guard is not None:
            for address in addresses:
                self._guard.check(address)
        failure: Exception = httpcore.ConnectError("its name has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _resolve(
        self,
        host: str,
        port: int,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> list[str]:
        found: list[Any] | None = None
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            try:
                found = await trio.to_thread.run_sync(
                    lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
                    abandon_on_cancel=True,
                    limiter=self._resolvers,
                )
            except socket.gaierror as error:
                reason = f"its name cannot be resolved: {error.strerror}"
                raise httpcore.ConnectError(reason) from error
            except UnicodeError as error:  # a part of the name is empty or too long
                raise UrlRefused("its host is not a name") from error
        if found is None:
            raise httpcore.ConnectTimeout("its name was not resolved in time")
        return [str(target[0]) for *_, target in found]


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise what httpcore does as what httpx calls by the same name."""
    try:
        yield
    except (
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.ProxyError,
        httpcore.TimeoutException,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
