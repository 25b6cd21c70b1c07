"""The routes that run predictions: create, create under a known id, cancel.

The order of the checks is coglet's: the body parses, the id of a PUT is the path's, it is not in
flight, streaming is possible; then the service looks at the input, the health and the slots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from protocol.messages import Trace
from supervisor.http.errors import invalid_response, refusal_response
from supervisor.http.preferences import accepts_event_stream, prefers_async
from supervisor.http.request_body import BadRequest, PredictionBody, read_body
from supervisor.http.stream import Streaming, follow, not_opted_in
from supervisor.http.values import Response, json_response
from supervisor.interface import (
    InputError,
    PredictionHandle,
    PredictionRequest,
    PredictionStatus,
    PredictionView,
    Refusal,
    Service,
)

if TYPE_CHECKING:
    from supervisor.http.values import Request

__all__ = ["cancel_prediction", "create_prediction", "put_prediction"]


async def create_prediction(service: Service, request: Request, streaming: Streaming) -> Response:
    """`POST /predictions`: run a prediction and answer with its result, or 202 at once.

    Being cancelled means that the client has gone: the prediction is cancelled too, unless the
    client preferred not to wait for it.
    """
    try:
        body = await read_body(request)
    except BadRequest as error:
        return error.response
    return await _run(service, request, body, body.id, streaming)


async def put_prediction(
    service: Service, request: Request, prediction_id: str, streaming: Streaming
) -> Response:
    """`PUT /predictions/{id}`: as `create_prediction`; if it is in flight, how far it has come."""
    try:
        body = await read_body(request)
    except BadRequest as error:
        return error.response
    if body.id is not None and body.id != prediction_id:
        message = "prediction ID must match the ID supplied in the URL"
        return invalid_response([InputError(("body", "id"), message)])
    running = service.find(prediction_id)
    if running is not None and accepts_event_stream(request.headers.get("accept")):
        return follow(running, request, streaming)
    if running is not None:
        return json_response(202, _state(running.view()))
    return await _run(service, request, body, prediction_id, streaming)


async def cancel_prediction(service: Service, prediction_id: str) -> Response:
    """`POST /predictions/{id}/cancel`: ask that it stops; 404 if it is not in flight."""
    running = service.find(prediction_id)
    if running is None:
        return json_response(404, {})
    running.cancel()
    return json_response(200, {})


async def _run(
    service: Service,
    request: Request,
    body: PredictionBody,
    prediction_id: str | None,
    streaming: Streaming,
) -> Response:
    as_stream = accepts_event_stream(request.headers.get("accept"))
    if as_stream and streaming.strict and (refusal := not_opted_in(service)) is not None:
        return refusal
    try:
        handle = service.submit(
            PredictionRequest(body.input, prediction_id, body.context, _trace(request))
        )
    except Refusal as refusal:
        return refusal_response(refusal)
    is_async = prefers_async(request.headers.get("prefer"))
    if as_stream:
        return follow(handle, request, streaming, is_owner=not is_async)
    if is_async:
        view = handle.view()
        return json_response(202, {"id": view.id, "status": PredictionStatus.STARTING.value})
    return json_response(200, (await _wait_or_cancel(handle)).as_result())


async def _wait_or_cancel(handle: PredictionHandle) -> PredictionView:
    try:
        return await handle.wait()
    except trio.Cancelled:
        handle.cancel()
        raise


def _trace(request: Request) -> Trace | None:
    traceparent = request.headers.get("traceparent")
    if traceparent is None:
        return None
    return Trace(traceparent, request.headers.get("tracestate", ""))


# --- bodies -----------------------------------------------------------------------------------


def _state(view: PredictionView) -> dict[str, Any]:
    """A prediction in flight, its input included."""
    return {**view.as_result(), "input": view.input}
