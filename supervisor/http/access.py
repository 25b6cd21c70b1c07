"""Who may ask: the bearer token of `--auth-token`, and what needs none."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from supervisor.exposure import is_loopback
from supervisor.http.errors import detail_response

if TYPE_CHECKING:
    from supervisor.http.values import Headers, Response

__all__ = ["Access"]

PROBES: Final = frozenset({"/health-check", "/livez", "/readyz", "/startupz"})
"""Paths that need no token: what asks them has none."""

_CHALLENGE: Headers = (("www-authenticate", "Bearer"),)


class Access:
    """Decides by the token, and by where a connection comes from.

    Args:
        token: what clients have to show; None: nobody has to.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode("utf-8")

    def refusal(self, path: str, authorization: str | None) -> Response | None:
        """401 for a request that has to show the token and does not; None: it may go on."""
        if self._token is None or path in PROBES or self._shows_token(authorization):
            return None
        return detail_response(401, "a valid bearer token is required", _CHALLENGE)

    def may_list(self, client: tuple[str, int] | None, authorization: str | None) -> bool:
        """Whether a request may see everybody's predictions: with the token, or from here.

        Where no token is set, "here" is this machine: loopback, or a unix socket.

        Args:
            client: the other end of its connection; None: it came over a unix socket.
            authorization: its header.
        """
        if self._token is not None:
            return self._shows_token(authorization)
        return client is None or is_loopback(client[0])

    def _shows_token(self, authorization: str | None) -> bool:
        scheme, _, shown = (authorization or "").partition(" ")
        if self._token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(shown.strip().encode("utf-8"), self._token)
