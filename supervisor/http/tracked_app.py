"""The application as one connection calls it: each request is counted, named and listened to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from supervisor.http.preferences import preference
from supervisor.http.request_scope import REQUEST_ID, request_scope
from supervisor.http.values import SAFE_METHODS

if TYPE_CHECKING:
    from hypercorn.typing import (
        AppWrapper,
        ASGIReceiveCallable,
        ASGIReceiveEvent,
        ASGISendCallable,
        ASGISendEvent,
    )

    from supervisor.http.client_stream import ClientStream, OpenRequest
    from supervisor.http.draining import Draining

__all__ = ["TrackedApp"]

_ENDLESS: Final = b"text/event-stream"


class TrackedApp:
    """Tells the stream and the drain where each request stands.

    Args:
        app: the application, wrapped for Hypercorn.
        client: the connection.
        draining: counts the open requests, and says when to close after an answer.
    """

    def __init__(self, app: AppWrapper, client: ClientStream, draining: Draining) -> None:
        self._app = app
        self._client = client
        self._draining = draining

    async def __call__(
        self,
        scope: Any,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        sync_spawn: Any,
        call_soon: Any,
    ) -> None:
        """Answer one request. What is logged on the way carries its id."""
        scope, request_id = request_scope(scope)
        with (
            self._draining.request(),
            self._client.request(is_safe=_goes_on(scope)) as request,
            structlog.contextvars.bound_contextvars(request_id=request_id),
        ):
            await trio.lowlevel.checkpoint_if_cancelled()  # nothing is begun for nobody
            tracked = _Tracked(receive, send, self._client, request, self._draining, request_id)
            await self._app(scope, tracked.receive, tracked.send, sync_spawn, call_soon)


class _Tracked:
    """The two ends of one request, listened to."""

    def __init__(
        self,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
        client: ClientStream,
        request: OpenRequest,
        draining: Draining,
        request_id: str,
    ) -> None:
        self._receive = receive
        self._send = send
        self._client = client
        self._request = request
        self._draining = draining
        self._request_id = request_id

    async def receive(self) -> ASGIReceiveEvent:
        event = await self._receive()
        if event["type"] == "http.request" and not event.get("more_body", False):
            self._request.body_complete()
        return event

    async def send(self, event: ASGISendEvent) -> None:
        if event["type"] == "http.response.start":
            headers = list(event.get("headers", []))
            self._request.answer_begun(endless=_is_endless(headers))
            event = {**event, "headers": self._headers(headers)}
        # With the last event Hypercorn may close the connection, and Quart cancels what sends it
        # at the same moment: the close would not happen. The stream bounds how long it takes.
        with trio.CancelScope(shield=True):
            self._client.hold()
            await self._send(event)
            await self._client.release()

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """With the request's id, and with `connection: close` in a drain."""
        headers = [*headers, (REQUEST_ID.encode(), self._request_id.encode())]
        if not self._draining.begun:
            return headers
        others = [pair for pair in headers if pair[0].lower() != b"connection"]
        return [*others, (b"connection", b"close")]


def _goes_on(scope: Any) -> bool:
    """Whether it is answered to whoever has ended their half: it costs no more than is wanted.

    A client that hangs up ends a prediction that it would have waited for, and nothing else: not
    what it has sent last, to cancel one, or to start one without waiting for it.
    """
    path = scope["path"]
    if scope["method"] in SAFE_METHODS or path.endswith("/cancel") or path == "/shutdown":
        return True
    prefer = ", ".join(
        value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"prefer"
    )
    return path.startswith("/v1/") or preference(prefer).lets_go


def _is_endless(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(_ENDLESS) for name, value in headers
    )
