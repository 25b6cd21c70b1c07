"""The Quart-Trio application: its routes, and what is decided before them.

Every body comes from `supervisor.http.errors` or a handler.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog
from quart import Response as QuartResponse
from quart import request as quart_request
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from supervisor.exposure import is_loopback
from supervisor.http import about, lookup, predictions
from supervisor.http.access import Access
from supervisor.http.cors import Cors
from supervisor.http.errors import draining_response, http_error, too_large_response
from supervisor.http.quart_values import AT_END, plain_request, quart_response
from supervisor.http.replicate import PREFIX, Replicate, problem
from supervisor.http.stream import Streaming, stream_known

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable

    from supervisor.config import Config, Limits
    from supervisor.http.draining import Draining
    from supervisor.http.ready_file import ReadyFile
    from supervisor.http.values import Response
    from supervisor.interface import Service

__all__ = ["create_app"]

log = structlog.get_logger("supervisor.http.app")

SERVED_IN_A_DRAIN = frozenset(
    {
        "cancel_prediction",
        "cancel_training",
        "get_prediction",
        "get_training",
        "health_check",
        "replicate_cancel",
        "replicate_get",
        "replicate_stream",
        "stream_prediction",
    }
)
"""Endpoints that still work when the server is about to end: they shorten the waiting, tell what
becomes of predictions that were accepted, or are always 200."""


class _Request(TrioASGIHTTPConnection):
    """One request, with a place for what has to be done when it is over, however it ends."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        with ExitStack() as stack:
            cast("dict[str, Any]", self.scope)[AT_END] = stack.callback
            await super().__call__(receive, send)


class _App(QuartTrio):
    """Quart, logging where we do."""

    asgi_http_class = _Request

    def log_exception(self, exception_info: Any) -> None:
        log.error("a request failed", exc_info=exception_info)


def create_app(
    service: Service, config: Config, draining: Draining, ready_file: ReadyFile | None
) -> QuartTrio:
    """The application for one service."""
    limits = config.limits
    app = _App("supervisor.http", static_folder=None)
    app.config.update(
        # Quart's defaults would cut real use. Times are the connection's business.
        MAX_CONTENT_LENGTH=limits.max_body,
        BODY_TIMEOUT=None,
        RESPONSE_TIMEOUT=None,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.url_map.merge_slashes = False
    _add_about(app, service, ready_file, is_train=config.is_train)
    access = Access(config.auth_token)
    streaming = Streaming(config.strict_streaming, config.times.stream_heartbeat)
    _add_runs(app, service, streaming, access, "prediction")
    _add_runs(app, service, streaming, access, "training")
    _add_stream(app, service, streaming)
    _add_replicate(app, Replicate(service, streaming), access)
    _add_errors(app, limits)

    is_local = config.uds is None and config.auth_token is None and is_loopback(config.host)
    _add_gate(app, access, Cors(config.cors_origins, is_local=is_local), draining)
    return app


def _add_gate(app: QuartTrio, access: Access, cors: Cors, draining: Draining) -> None:
    """What is decided of a request before its route is: it sees no body."""

    def decide() -> Response | None:
        headers = quart_request.headers
        wanted = headers.get("access-control-request-method")
        preflight = cors.preflight(quart_request.method, headers.get("origin"), wanted)
        if preflight is not None:
            return preflight
        own = {name.lower(): value for name, value in headers.items()}
        refusal = cors.refusal(quart_request.method, own)
        refusal = refusal or access.refusal(quart_request.path, headers.get("authorization"))
        if refusal is not None:
            return refusal
        if str(quart_request.scope["path"]).startswith("//"):  # Quart takes it for "/"
            return http_error(404)
        if draining.begun and quart_request.endpoint not in SERVED_IN_A_DRAIN:
            response = draining_response()
            is_replicates = quart_request.path.startswith(f"{PREFIX}/")
            return problem(response) if is_replicates else response
        return None

    async def before() -> QuartResponse | None:
        response = decide()
        return None if response is None else quart_response(response)

    async def after(response: QuartResponse) -> QuartResponse:
        response.headers.extend(cors.headers(quart_request.headers.get("origin")))
        return response

    app.before_request(before)
    app.after_request(after)


def _add_about(
    app: QuartTrio, service: Service, ready_file: ReadyFile | None, *, is_train: bool
) -> None:
    async def discover() -> Response:
        return about.discover(service, is_train=is_train)

    async def health_check() -> Response:
        return await about.health_check(service, ready_file)

    async def openapi() -> Response:
        return about.openapi(service)

    async def shutdown() -> Response:
        return about.request_shutdown(service)

    _route(app, "GET", "/", "discover", discover)
    _route(app, "GET", "/health-check", "health_check", health_check)
    _route(app, "GET", "/openapi.json", "openapi", openapi)
    _route(app, "POST", "/shutdown", "shutdown", shutdown)


def _add_runs(
    app: QuartTrio,
    service: Service,
    streaming: Streaming,
    access: Access,
    kind: Literal["prediction", "training"],
) -> None:
    is_training = kind == "training"
    everything = f"/{kind}s"

    async def create() -> Response:
        return await predictions.create_prediction(
            service, await plain_request(), streaming, is_training=is_training
        )

    async def put(id: str) -> Response:
        return await predictions.put_prediction(
            service, await plain_request(), id, streaming, is_training=is_training
        )

    async def cancel(id: str) -> Response:
        return await predictions.cancel_prediction(service, id)

    async def get(id: str) -> Response:
        return await lookup.get_prediction(service, id)

    async def list_all() -> Response:
        request = await plain_request()
        is_allowed = _may_list(access)
        return await lookup.list_predictions(service, request, everything, is_allowed=is_allowed)

    _route(app, "POST", everything, f"create_{kind}", create)
    _route(app, "GET", everything, f"list_{kind}s", list_all)
    _route(app, "PUT", f"{everything}/<id>", f"put_{kind}", put)
    _route(app, "GET", f"{everything}/<id>", f"get_{kind}", get)
    _route(app, "POST", f"{everything}/<id>/cancel", f"cancel_{kind}", cancel)


def _add_stream(app: QuartTrio, service: Service, streaming: Streaming) -> None:
    async def stream(id: str) -> Response:
        return await stream_known(service, await plain_request(), id, streaming)

    _route(app, "GET", "/predictions/<id>/stream", "stream_prediction", stream)


def _add_replicate(app: QuartTrio, replicate: Replicate, access: Access) -> None:
    async def create() -> Response:
        return await replicate.create(await plain_request())

    async def create_of_model(owner: str, name: str) -> Response:
        return await replicate.create(await plain_request(), f"{owner}/{name}")

    async def list_all() -> Response:
        return await replicate.list_all(await plain_request(), is_allowed=_may_list(access))

    async def get(id: str) -> Response:
        return await replicate.get(await plain_request(), id)

    async def cancel(id: str) -> Response:
        return await replicate.cancel(await plain_request(), id)

    async def stream(id: str) -> Response:
        return await replicate.stream(await plain_request(), id)

    async def version(owner: str, name: str, id: str) -> Response:
        return await replicate.version(id)

    async def take_file() -> Response:
        return await replicate.take_file(await plain_request())

    everything, model = f"{PREFIX}/predictions", f"{PREFIX}/models/<owner>/<name>"
    _route(app, "POST", everything, "replicate_create", create)
    _route(app, "GET", everything, "replicate_list", list_all)
    _route(app, "GET", f"{everything}/<id>", "replicate_get", get)
    _route(app, "POST", f"{everything}/<id>/cancel", "replicate_cancel", cancel)
    _route(app, "GET", f"{everything}/<id>/stream", "replicate_stream", stream)
    _route(app, "POST", f"{model}/predictions", "replicate_create_of_model", create_of_model)
    _route(app, "GET", f"{model}/versions/<id>", "replicate_version", version)
    _route(app, "POST", f"{PREFIX}/files", "replicate_take_file", take_file)


def _may_list(access: Access) -> bool:
    client = quart_request.scope["client"]
    return access.may_list(client, quart_request.headers.get("authorization"))


def _route(
    app: QuartTrio,
    method: str,
    path: str,
    endpoint: str,
    handler: Callable[..., Awaitable[Response]],
) -> None:
    async def view(**arguments: str) -> QuartResponse:
        return quart_response(await handler(**arguments))

    app.add_url_rule(path, endpoint, view, methods=[method])


def _add_errors(app: QuartTrio, limits: Limits) -> None:
    async def on_http_exception(error: HTTPException) -> QuartResponse:
        match error:
            case RequestEntityTooLarge():
                response = too_large_response(limits.max_body)
            case MethodNotAllowed(valid_methods=methods):
                response = http_error(405, ", ".join(sorted(methods or ())))
            case _:
                response = http_error(error.code or 500)
        return quart_response(response)

    async def on_exception(error: Exception) -> QuartResponse:
        log.error("a request failed", path=quart_request.path, exc_info=error)
        return quart_response(http_error(500))

    app.register_error_handler(HTTPException, on_http_exception)
    app.register_error_handler(Exception, on_exception)
