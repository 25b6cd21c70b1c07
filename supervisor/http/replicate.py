"""Replicate's own API, as far as its clients need it to run predictions: `/v1/…`.

Their base URL is set to this server, and nothing else of a program is changed. Predictions are the
same as those of `/predictions`; here they are told of in Replicate's words. There is one model, so
whatever model or version a client names is this one.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from protocol.json_text import loads
from supervisor.http.about import COMPATIBLE_COGLET
from supervisor.http.errors import detail_response, refusal_response, unknown_prediction
from supervisor.http.lookup import list_entry, page, times
from supervisor.http.predictions import prediction_request, state, wait_within
from supervisor.http.preferences import preference
from supervisor.http.replicate_files import take_file
from supervisor.http.replicate_stream import replicate_form
from supervisor.http.request_body import BadRequest, read_body
from supervisor.http.stream import Streaming, not_opted_in, stream_known
from supervisor.http.values import Response, json_response, sized_json_response
from supervisor.interface import PredictionStatus, Refusal

if TYPE_CHECKING:
    from supervisor.http.values import Request
    from supervisor.interface import PredictionHandle, PredictionView, Service

__all__ = ["PREFIX", "Replicate", "problem"]

PREFIX: Final = "/v1"

MODEL: Final = "local/model"
"""What the model is called where nobody has named it."""

VERSION: Final = "local"

WAIT_MAX: Final = 60.0
"""Seconds for which an answer may be waited for: Replicate's, and what its clients count on."""

STOP_WAIT: Final = 1.0
"""Seconds in which most models have stopped: programs like to see "canceled" in the answer."""


class Replicate:
    """The handlers of `/v1/…`.

    Args:
        service: runs the predictions.
        streaming: how they are streamed.
    """

    def __init__(self, service: Service, streaming: Streaming) -> None:
        self._service = service
        self._streaming = streaming

    async def create(self, request: Request, model: str = MODEL) -> Response:
        """`POST /v1/predictions`, `POST /v1/models/{owner}/{name}/predictions`.

        Answered at once, or with `Prefer: wait` when there is a result, after 60 s at the latest.
        A client that leaves cancels nothing.
        """
        try:
            handle = await self._submitted(request)
        except BadRequest as error:
            return problem(error.response)
        except Refusal as refusal:
            return problem(refusal_response(refusal))
        request = evolve(request, body=b"")  # the prediction has got it
        patience = _patience(request)
        view = await wait_within(handle, patience) if patience else handle.view()
        if not view.status.is_terminal:
            # Clients take any other status for the end of their waiting, and what output there is
            # already for known.
            view = evolve(view, status=PredictionStatus.STARTING, output=None)
        document = {**self._document(request, view), "model": model}
        return await sized_json_response(201, document, view.size)

    async def _submitted(self, request: Request) -> PredictionHandle:
        body = await read_body(request, self._service)
        wanted = prediction_request(request, body)
        return self._service.submit(await self._service.prepare(wanted))

    async def get(self, request: Request, prediction_id: str) -> Response:
        """`GET /v1/predictions/{id}`."""
        known = self._service.recall(prediction_id)
        if known is None:
            return problem(unknown_prediction())
        view = known.view()
        return await sized_json_response(200, self._document(request, view), view.size)

    async def cancel(self, request: Request, prediction_id: str) -> Response:
        """`POST /v1/predictions/{id}/cancel`: ask that it stops; how it is then."""
        known = self._service.recall(prediction_id)
        if known is None:
            return problem(unknown_prediction())
        known.cancel()
        view = await wait_within(known, STOP_WAIT)
        return await sized_json_response(200, self._document(request, view), view.size)

    async def list_all(self, request: Request, *, is_allowed: bool) -> Response:
        """`GET /v1/predictions`: a page, the newest first."""

        def entry(view: PredictionView) -> dict[str, Any]:
            return {**list_entry(view), **self._names(request, view)}

        path = f"{_origin(request)}{PREFIX}/predictions"
        try:
            found, size = page(self._service, request, path, entry, is_allowed=is_allowed)
        except BadRequest as error:
            return problem(error.response)
        return await sized_json_response(200, {"previous": None, **found}, size)

    async def stream(self, request: Request, prediction_id: str) -> Response:
        """`GET /v1/predictions/{id}/stream`: its events, in Replicate's words."""
        return problem(
            await stream_known(
                self._service, request, prediction_id, self._streaming, replicate_form
            )
        )

    async def version(self, version_id: str) -> Response:
        """`GET /v1/models/{owner}/{name}/versions/{id}`: clients read from it what comes out."""
        document = self._service.openapi()
        setup = self._service.health().setup
        if document is None or setup is None:
            return problem(detail_response(503, "The model's OpenAPI schema is not available yet"))
        version = {
            "id": version_id,
            "created_at": setup.started_at.isoformat(),
            "cog_version": COMPATIBLE_COGLET,
            "openapi_schema": document,
        }
        return json_response(200, version)

    async def take_file(self, request: Request) -> Response:
        """`POST /v1/files`: a file for an input, given back as a URL that is one."""
        return problem(await take_file(request))

    # --- documents ------------------------------------------------------------------------------

    def _document(self, request: Request, view: PredictionView) -> dict[str, Any]:
        """A prediction as Replicate says it: what is not there is null."""
        nothing = dict.fromkeys(("output", "error", "created_at", "started_at", "completed_at"))
        return {**nothing, **state(view), **times(view), **self._names(request, view)}

    def _names(self, request: Request, view: PredictionView) -> dict[str, Any]:
        one = f"{_origin(request)}{PREFIX}/predictions/{view.id}"
        urls = {"get": one, "cancel": f"{one}/cancel"}
        if not self._streaming.strict or not_opted_in(self._service) is None:
            urls["stream"] = f"{one}/stream"
        return {"model": MODEL, "version": VERSION, "urls": urls}


def problem(response: Response) -> Response:
    """A response as it is, or an error in the words that Replicate's clients show (RFC 9457)."""
    if response.status < 400:
        return response
    body = loads(response.body)
    detail = body.get("detail", body.get("error"))
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(one['loc'][1:])}: {one['msg']}" for one in detail)
    status = HTTPStatus(response.status)
    document = {"title": status.phrase, "status": status.value, "detail": detail}
    return json_response(response.status, document, response.headers)


def _patience(request: Request) -> float:
    """Seconds for which a client waits for the result; unlike elsewhere, it has to say so."""
    prefer = preference(request.headers.get("prefer"))
    return 0.0 if prefer.wait is None else min(prefer.patience, WAIT_MAX)


def _origin(request: Request) -> str:
    """Where the client has found this server; empty if it has not named it."""
    host = request.headers.get("host")
    # Behind a proxy that ends TLS; a client that lies gets URLs that it cannot use.
    forwarded = request.headers.get("x-forwarded-proto", "").lower()
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    return f"{scheme}://{host}" if host else ""
