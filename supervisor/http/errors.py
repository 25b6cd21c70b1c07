"""Every error body of the API, in one place.

Coglet has two forms, and clients know both: `{"error": …, "status": "failed"}` where a prediction
was asked for in order and cannot run, `{"detail": …}` for an invalid input. What coglet answers
with plain text or nothing has `detail` here, with the same status.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from supervisor.http.request_scope import REQUEST_ID, new_request_id
from supervisor.http.values import Headers, Response, json_response
from supervisor.interface import (
    AtCapacity,
    DuplicateId,
    InputError,
    InvalidInput,
    NotReady,
    Refusal,
    TooManyFollowers,
)

__all__ = [
    "CLOSE",
    "detail_response",
    "draining_response",
    "http_error",
    "invalid_response",
    "raw_error",
    "refusal_response",
    "too_large_response",
    "unknown_prediction",
]

CLOSE: Headers = (("connection", "close"),)


def detail_response(status: int, detail: str, headers: Headers = ()) -> Response:
    """An error that says in a sentence what was wrong."""
    return json_response(status, {"detail": detail}, headers)


def http_error(status: int, allow: str | None = None) -> Response:
    """An error that needs no more than its standard phrase; `allow` for 405."""
    headers = () if allow is None else (("allow", allow),)
    return detail_response(status, HTTPStatus(status).phrase, headers)


def too_large_response(limit: int) -> Response:
    """413: the body has more than `limit` bytes. The connection is closed, the rest not read."""
    return detail_response(413, f"the request's body is larger than {limit} bytes", CLOSE)


def draining_response() -> Response:
    """503: the server is about to end."""
    return json_response(503, _failed("The server is shutting down. Ask another one."), CLOSE)


def invalid_response(errors: list[InputError]) -> Response:
    """422 in coglet's form: one entry for each thing that is wrong."""
    entries = [{"loc": list(error.loc), "msg": error.msg, "type": error.type} for error in errors]
    return json_response(422, {"detail": entries})


def unknown_prediction() -> Response:
    """404: no prediction has that id, or it has been forgotten."""
    detail = "No prediction with this id is in flight or remembered (--keep-age)"
    return detail_response(404, detail)


def refusal_response(refusal: Refusal) -> Response:
    """Why a prediction was not accepted."""
    match refusal:
        case InvalidInput(errors=errors):
            return invalid_response(errors)
        case NotReady(reason=reason, retry_after=None):
            return json_response(503, _failed(reason))
        case NotReady(reason=reason, retry_after=float() | int() as seconds):
            retry_after = (("retry-after", str(max(1, math.ceil(seconds)))),)
            return json_response(503, _failed(reason), retry_after)
        case AtCapacity():
            return json_response(409, _failed("At capacity - all prediction slots busy"))
        case DuplicateId(id=prediction_id):
            reason = f"A prediction with the id {prediction_id} is in flight already"
            return json_response(409, _failed(reason))
        case TooManyFollowers():
            return json_response(429, {"error": "Too many stream subscribers"})
        case _:
            raise TypeError(f"not a refusal that exists: {refusal!r}")


def raw_error(status: int, detail: str | None = None) -> bytes:
    """A whole HTTP/1.1 answer, for what is refused before there is a request; then close."""
    response = detail_response(status, detail or HTTPStatus(status).phrase, CLOSE)
    headers = (
        ("content-type", response.content_type),
        ("content-length", str(len(response.body))),
        (REQUEST_ID, new_request_id()),
        *response.headers,
    )
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    head += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*head, "", ""]).encode("ascii") + response.body


def _failed(error: str) -> dict[str, Any]:
    return {"error": error, "status": "failed"}
