"""The routes that run predictions and trainings: create, create under a known id, cancel.

The order of the checks is coglet's: the body parses, the id of a PUT is the path's, streaming is
possible; then the service looks at what is known of the id, the input, the health and the slots.

Trainings are what coglet makes of them: the worker does what its mode says, whichever route asked;
the routes differ in the schema that holds for the input, and in that trainings are not streamed.
They share their ids with predictions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from protocol.messages import Trace
from supervisor.http.errors import invalid_response, refusal_response
from supervisor.http.file_answer import result_response
from supervisor.http.preferences import accepts_event_stream, preference
from supervisor.http.request_body import BadRequest, PredictionBody, read_body
from supervisor.http.request_scope import REQUEST_ID
from supervisor.http.stream import Streaming, follow, not_opted_in
from supervisor.http.values import Response, json_response, sized_json_response
from supervisor.interface import (
    InputError,
    PredictionHandle,
    PredictionRequest,
    PredictionStatus,
    PredictionView,
    Refusal,
    Service,
    Webhook,
)

if TYPE_CHECKING:
    from supervisor.http.values import Headers, Request

__all__ = [
    "cancel_prediction",
    "create_prediction",
    "prediction_request",
    "put_prediction",
    "state",
    "wait_within",
]


async def create_prediction(
    service: Service, request: Request, streaming: Streaming, *, is_training: bool = False
) -> Response:
    """`POST /predictions`: run a prediction and answer with its result, or 202 (`Prefer`).

    Being cancelled means that the client has gone: the prediction is cancelled too, unless the
    client said how long it wants to wait.
    """
    try:
        is_stream, asked = await _asked(request, service, streaming, None, is_training=is_training)
        handle = service.submit(asked)
    except BadRequest as error:
        return error.response
    except Refusal as refusal:
        return refusal_response(refusal)
    # What the prediction has got of it is the prediction's: a big one is not kept twice meanwhile.
    del asked
    request = evolve(request, body=b"")
    if is_stream:
        return _stream(handle, request, streaming, is_new=True)
    return await _answer(handle, request)


async def put_prediction(
    service: Service,
    request: Request,
    prediction_id: str,
    streaming: Streaming,
    *,
    is_training: bool = False,
) -> Response:
    """`PUT /predictions/{id}`: as `create_prediction`, for who may ask again.

    What is in flight is reported as it is now, what has succeeded with this input is not run again.
    """
    try:
        is_stream, asked = await _asked(
            request, service, streaming, prediction_id, is_training=is_training
        )
        handle, is_new = service.put(asked)
    except BadRequest as error:
        return error.response
    except Refusal as refusal:
        return refusal_response(refusal)
    del asked
    request = evolve(request, body=b"")
    if is_stream:
        return _stream(handle, request, streaming, is_new=is_new)
    return await (_answer(handle, request) if is_new else _report(handle, request))


async def cancel_prediction(service: Service, prediction_id: str) -> Response:
    """`POST /predictions/{id}/cancel`: ask that it stops; 404 if it is not in flight."""
    running = service.find(prediction_id)
    if running is None:
        return json_response(404, {})
    running.cancel()
    return json_response(200, {})


def state(view: PredictionView) -> dict[str, Any]:
    """A prediction that may be in flight: what a result says, and its input."""
    return {**view.as_state(), "input": view.input}


# --- what is asked for ------------------------------------------------------------------------


async def _asked(
    request: Request,
    service: Service,
    streaming: Streaming,
    put_id: str | None,
    *,
    is_training: bool,
) -> tuple[bool, PredictionRequest]:
    """Whether it is to be streamed, and what is asked for; `put_id`: the id in a PUT's path.

    Raises:
        BadRequest: the request cannot be understood, or be answered as it is wanted.
    """
    body = await read_body(request, service, is_training=is_training)
    if put_id is not None:
        _check_id(body, put_id, is_training=is_training)
    is_stream = _wants_stream(service, request, streaming, is_training=is_training)
    wanted = prediction_request(request, body, put_id, is_training=is_training)
    return is_stream, await service.prepare(wanted)


def prediction_request(
    request: Request,
    body: PredictionBody,
    put_id: str | None = None,
    *,
    is_training: bool = False,
) -> PredictionRequest:
    """What a request with this body asks for; `put_id`: the id in a PUT's path."""
    return PredictionRequest(
        body.input,
        body.id if put_id is None else put_id,
        body.context,
        _trace(request),
        webhook=_webhook(body),
        output_file_prefix=body.output_file_prefix,
        is_training=is_training,
        size=body.size,
        request_id=request.headers.get(REQUEST_ID),
    )


def _webhook(body: PredictionBody) -> Webhook | None:
    if body.webhook is None:
        return None
    return Webhook(body.webhook, frozenset(body.webhook_events_filter))


def _trace(request: Request) -> Trace | None:
    traceparent = request.headers.get("traceparent")
    if traceparent is None:
        return None
    return Trace(traceparent, request.headers.get("tracestate", ""))


def _wants_stream(
    service: Service, request: Request, streaming: Streaming, *, is_training: bool
) -> bool:
    """Whether it is answered with events.

    Raises:
        BadRequest: it is wanted so, and it cannot be.
    """
    if not accepts_event_stream(request.headers.get("accept")):
        return False
    if is_training:
        error = "Training endpoints do not support streaming responses."
        raise BadRequest(json_response(406, {"error": error}))
    if streaming.strict and (refusal := not_opted_in(service)) is not None:
        raise BadRequest(refusal)
    return True


def _check_id(body: PredictionBody, prediction_id: str, *, is_training: bool) -> None:
    if body.id is None or body.id == prediction_id:
        return
    kind = "training" if is_training else "prediction"
    message = f"{kind} ID must match the ID supplied in the URL"
    raise BadRequest(invalid_response([InputError(("body", "id"), message)]))


# --- how it is answered -----------------------------------------------------------------------


def _stream(
    handle: PredictionHandle, request: Request, streaming: Streaming, *, is_new: bool
) -> Response:
    is_owner = is_new and not preference(request.headers.get("prefer")).lets_go
    return follow(handle, request, streaming, is_owner=is_owner)


async def _answer(handle: PredictionHandle, request: Request) -> Response:
    """Of a prediction that this request has begun."""
    prefer = preference(request.headers.get("prefer"))
    if prefer.respond_async and prefer.patience == 0:
        started = {"id": handle.summary().id, "status": PredictionStatus.STARTING.value}
        return json_response(202, started, _applied(prefer.applied(in_time=False)))
    try:
        view = await wait_within(handle, prefer.patience)
    except trio.Cancelled:
        # Who has asked again meanwhile, and waits or reads, wants it still.
        if not (prefer.lets_go or handle.clients or handle.followers):
            handle.cancel()
        raise
    return await _result(request, view, prefer.applied(in_time=view.status.is_terminal))


async def _report(handle: PredictionHandle, request: Request) -> Response:
    """Of a prediction that was there before: at once, unless the client says that it waits."""
    prefer = preference(request.headers.get("prefer"))
    view = handle.view() if prefer.wait is None else await wait_within(handle, prefer.patience)
    return await _result(request, view, prefer.applied(in_time=view.status.is_terminal))


async def wait_within(handle: PredictionHandle, seconds: float) -> PredictionView:
    """The prediction at its end, or as it is after so many seconds."""
    handle.clients += 1
    try:
        with trio.move_on_after(seconds):
            return await handle.wait()
        return handle.view()
    finally:
        handle.clients -= 1


async def _result(request: Request, view: PredictionView, applied: str) -> Response:
    if view.status.is_terminal:
        return await result_response(request, view, _applied(applied))
    return await sized_json_response(202, state(view), view.size, _applied(applied))


def _applied(applied: str) -> Headers:
    return (("preference-applied", applied),) if applied else ()
