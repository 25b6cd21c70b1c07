"""Which web pages of other origins may use the API (CORS). None, unless the operator says so."""

from __future__ import annotations

from typing import Final

from supervisor.http.errors import detail_response
from supervisor.http.request_scope import REQUEST_ID
from supervisor.http.values import Headers, Response

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
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_AGE: Final = "600"
"""Seconds for which a browser need not ask again."""


class Cors:
    """Answers a browser's questions, and marks what a page may read.

    Credentials of the browser (cookies) are never allowed: there are none. A page shows its token
    by itself.

    Args:
        origins: as browsers send them (`https://app.example`), or `*` for all; empty: off.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)

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

    def refusal(self, method: str, origin: str | None, site: str | None) -> Response | None:
        """403 for what a page of another site would set going; None for every other request.

        Browsers let any page send forms, and requests without a body, to a server on the reader's
        own machine. Only browsers say where a request comes from.

        Args:
            method: of the request.
            origin: its header of that name.
            site: its `sec-fetch-site`.
        """
        if site != "cross-site" or method in _SAFE or self._allowed(origin) is not None:
            return None
        detail = "Pages of other sites may not use this server (--cors-origin lets them)"
        return detail_response(403, detail)

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
