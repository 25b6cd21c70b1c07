"""An httpx client whose connections are ours: checked, and ended from outside.

Where the environment names a proxy for a URL, the proxy resolves the name, and where that leads is
the business of whoever runs it: then only hosts that are addresses themselves can be checked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from protocol.addresses import addresses_in, is_host
from worker.connections import Network
from worker.http_libraries import load_http_libraries
from worker.network_streams import UrlRefused

if TYPE_CHECKING:
    from worker.connections import AddressCheck, Connections
    from worker.http_libraries import HttpLibraries

__all__ = ["open_client"]

REDIRECTS_MAX: Final = 5
"""How often one URL may point to another."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to connect to one address, and again for each step of TLS."""

STALL_TIMEOUT: Final = 30.0
"""Seconds without a byte after which a transfer is given up."""


def open_client(connections: Connections, check: AddressCheck | None) -> Any:
    """An `httpx.Client`, to be used by one thread, which closes it.

    Its requests raise what httpx and httpcore do, `ConnectionFailed` and `UrlRefused`.

    Args:
        connections: what ends its connections.
        check: which addresses they may be made to, after redirects too; None: to all.

    Raises:
        ImportError: httpx is not installed.
    """
    libraries = load_http_libraries()
    httpx = libraries.httpx
    agent = os.environ.get("COG_USER_AGENT")
    return httpx.Client(
        transport=_Transport(libraries, connections, check),
        headers={"User-Agent": agent} if agent else None,
        follow_redirects=True,
        max_redirects=REDIRECTS_MAX,
        timeout=httpx.Timeout(STALL_TIMEOUT, connect=CONNECT_TIMEOUT),
    )


class _Transport:
    """What httpx sends requests through: `httpx.BaseTransport`, which we cannot derive from."""

    def __init__(
        self, libraries: HttpLibraries, connections: Connections, check: AddressCheck | None
    ) -> None:
        self._httpx = libraries.httpx
        self._httpcore = libraries.httpcore
        self._proxies = libraries.proxies
        self._ssl_context = libraries.ssl_context
        self._connections = connections
        self._check = check
        self._body = _body_type(libraries.httpx)
        self._pools: dict[str | None, Any] = {}

    def handle_request(self, request: Any) -> Any:
        """Answer one request; each redirect is a request of its own."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise UrlRefused("redirects to what is neither an http: nor an https: URL")
        host = url.raw_host.decode("ascii")
        if not is_host(host):
            raise UrlRefused("its host is neither a name nor an address")
        response = self._pool_for(url.scheme, host, url.port).handle_request(
            self._httpcore.Request(
                method=request.method,
                url=self._core_url(url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return self._httpx.Response(
            response.status,
            headers=response.headers,
            stream=self._body(response),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close what is still open."""
        for pool in self._pools.values():
            pool.close()

    def _pool_for(self, scheme: str, host: str, port: int | None) -> Any:
        proxy = self._proxy_for(scheme, host, port)
        if proxy is not None and self._check is not None:
            for address in addresses_in(host):
                self._check(address)
        if proxy not in self._pools:
            self._pools[proxy] = self._direct() if proxy is None else self._through(proxy)
        return self._pools[proxy]

    def _proxy_for(self, scheme: str, host: str, port: int | None) -> str | None:
        """The URL of the proxy that stands before a host, if the environment names one."""
        proxies = self._proxies.getproxies()
        proxy: str | None = proxies.get(scheme) or proxies.get("all")
        if not proxy or self._proxies.proxy_bypass(host if port is None else f"{host}:{port}"):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"

    def _direct(self) -> Any:
        return self._httpcore.ConnectionPool(
            ssl_context=self._ssl_context, network_backend=Network(self._connections, self._check)
        )

    def _through(self, proxy_url: str) -> Any:
        try:
            proxy = self._httpx.Proxy(proxy_url)
        except (ValueError, self._httpx.InvalidURL) as error:
            raise UrlRefused("the proxy that this server's environment names is none") from error
        options = {
            "proxy_url": self._core_url(proxy.url),
            "proxy_auth": proxy.raw_auth,
            "ssl_context": self._ssl_context,
            # The operator's own, wherever it is.
            "network_backend": Network(self._connections, None),
        }
        if proxy.url.scheme.startswith("socks5"):
            try:
                return self._httpcore.SOCKSProxy(**options)
            except RuntimeError as error:
                raise UrlRefused(
                    "SOCKS proxies need socksio in the model's environment: "
                    "pip install 'httpx[socks]'"
                ) from error
        secure = proxy.url.scheme == "https"
        return self._httpcore.HTTPProxy(
            **options, proxy_ssl_context=self._ssl_context if secure else None
        )

    def _core_url(self, url: Any) -> Any:
        return self._httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )


def _body_type(httpx: Any) -> type[Any]:
    """What httpx asks of the body of a response: it has to be derived from a class of its own."""

    class Body(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(self, response: Any) -> None:
            self._response = response

        def __iter__(self) -> Any:
            yield from self._response.stream

        def close(self) -> None:
            self._response.close()

    return Body
