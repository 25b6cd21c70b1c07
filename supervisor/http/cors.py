"""Which web pages of other origins may use the API (CORS). None, unless the operator says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from supervisor.exposure import is_loopback
from supervisor.http.errors import detail_response
from supervisor.http.request_scope import REQUEST_ID
from supervisor.http.values import SAFE_METHODS, Headers, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY_ORIGIN", "Cors"]

ANY_ORIGIN: Final = "*"

_METHODS: Final = "GET, HEAD, POST, PUT"
_HEADERS: Final = (
    "accept, authorization, content-encoding, content-type, last-event-id, prefer, traceparent, "
    "tracestate, " + REQUEST_ID
)
_EXPOSED: Final = (
    "allow, content-disposition, content-length, link, location, preference-applied, retry-after, "
    "www-authenticate, " + REQUEST_ID
)
_FETCH: Final = ("sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest")
_REBOUND: Final = (
    "Web pages may use this server only under a name of this machine: ask http://localhost, or "
    "http://127.0.0.1; or name the page's origin with --cors-origin, or serve with --auth-token"
)
_MAX_AGE: Final = "600"
"""Seconds for which a browser need not ask again."""


class Cors:
    """Answers a browser's questions, and marks what a page may read.

    Credentials of the browser (cookies) are never allowed: there are none. A page shows its token
    by itself.

    Args:
        origins: as browsers send them (`https://app.example`), or `*` for all; empty: off.
        is_local: whether only programs of this machine reach the server, and need no token: then
            no page whose name was made to lead here (DNS rebinding) may use it.
    """

    def __init__(self, origins: tuple[str, ...], *, is_local: bool = False) -> None:
        self._origins = frozenset(origins)
        self._is_local = is_local

    def preflight(self, method: str, origin: str | None, wanted: str | None) -> Response | None:
        """204 for a preflight request of a page that may go on; None for every other request.

        Args:
            method: of the request.
            origin: its header of that name.
            wanted: its `access-control-request-method`.
        """
        if method != "OPTIONS" or wanted is None or self._allowed(origin) is None:
            return None
        headers = (
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", _HEADERS),
            ("access-control-max-age", _MAX_AGE),
        )
        return Response(204, headers=headers)

    def refusal(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """403 for what a page of another site would set going; None for every other request.

        Browsers let any page send forms, and requests without a body, to a server on the reader's
        own machine. Only browsers say where a request comes from.

        Args:
            method: of the request.
            headers: its own, by lower-case name.
        """
        origin, host = headers.get("origin"), headers.get("host")
        is_browsers = origin is not None or any(name in headers for name in _FETCH)
        if self._is_local and is_browsers and not self._is_named(host):
            return detail_response(403, _REBOUND)
        if method in SAFE_METHODS or self._allowed(origin) is not None:
            return None
        site = headers.get("sec-fetch-site")
        # Where the address is neither https nor this machine's, browsers leave it out.
        is_foreign = origin is not None and (
            (asked := _authority(origin)) is None or asked != _authority(f"//{host}")
        )
        if site == "cross-site" or (site is None and is_foreign):
            detail = "Pages of other sites may not use this server (--cors-origin lets them)"
            return detail_response(403, detail)
        return None

    def _is_named(self, host: str | None) -> bool:
        """Whether a page may have found the server under this name."""
        if ANY_ORIGIN in self._origins or _names_this_machine(host):
            return True
        # A proxy on this machine may hand on the name under which it is known itself.
        return _authority(f"//{host}") in map(_authority, self._origins)

    def headers(self, origin: str | None) -> Headers:
        """What each answer says to the browser, errors and preflights too."""
        if not self._origins:
            return ()
        vary = () if ANY_ORIGIN in self._origins else (("vary", "origin"),)
        allowed = self._allowed(origin)
        if allowed is None:
            return vary
        return (
            ("access-control-allow-origin", allowed),
            ("access-control-expose-headers", _EXPOSED),
            *vary,
        )

    def _allowed(self, origin: str | None) -> str | None:
        if ANY_ORIGIN in self._origins:
            return ANY_ORIGIN
        return origin if origin in self._origins else None


def _authority(url: str) -> str | None:
    """Host and port of an origin; None: it has none ("null"), or makes no sense."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    # `Host` has no scheme, and browsers leave the usual port out of both.
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


def _names_this_machine(host: str | None) -> bool:
    """Whether no name server can have said that `host` leads here."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return False
    name = name.removesuffix(".")
    return is_loopback(name) or name.endswith(".localhost")
