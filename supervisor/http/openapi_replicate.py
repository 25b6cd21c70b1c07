"""What the served OpenAPI document says of the routes of `supervisor.http.replicate`."""

from __future__ import annotations

from typing import Final

from supervisor.http.openapi_answers import (
    EVENTS,
    ID,
    LAST_EVENT,
    OBJECT,
    PAGE,
    STRING,
    Node,
    answer,
    operation,
    parameter,
    ref,
)

__all__ = ["replicate_paths"]

_ONE: Final = parameter("path", "prediction_id", ID)
_NAME: Final = {**STRING, "pattern": "^[^/]+$"}
_MODEL: Final = (parameter("path", "owner", _NAME), parameter("path", "name", _NAME))
_PREDICTION: Final = ref("coglet.ReplicatePrediction")
_UNKNOWN: Final = {"404": answer("Neither in flight nor remembered", ref("coglet.Problem"))}
_PREFER: Final = parameter(
    "header",
    "Prefer",
    STRING,
    "`wait`, `wait=N`: answered when there is a result, after N seconds (60) at the latest.",
)


_FORM: Final = {
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["content"],
                "properties": {"content": {"type": "string", "format": "binary"}},
            }
        }
    },
    "required": True,
}


def _problems(*statuses: str) -> Node:
    return {status: answer("It is refused", ref("coglet.Problem")) for status in statuses}


def replicate_paths(body: Node) -> Node:
    """The routes under `/v1`; `body`: of a request for a prediction."""
    created = {
        "201": answer("It is in flight, or has ended", _PREDICTION),
        **_problems("400", "409", "413", "415", "422"),
    }
    page = {
        "type": "object",
        "required": ["results", "next", "previous"],
        "properties": {
            "results": {"type": "array", "items": _PREDICTION},
            "next": {**STRING, "nullable": True},
            "previous": {**STRING, "nullable": True},
        },
    }
    known = {"200": answer("As it is now", _PREDICTION), **_UNKNOWN}
    return {
        "/v1/predictions": {
            "get": operation(
                "replicate_list",
                "Those in flight or remembered, the newest first",
                {"200": answer("A page", page), **_problems("403", "422")},
                *PAGE,
            ),
            "post": operation(
                "replicate_create", "Run a prediction", created, _PREFER, requestBody=body
            ),
        },
        "/v1/predictions/{prediction_id}": {
            "get": operation("replicate_get", "All that is known of it", known, _ONE)
        },
        "/v1/predictions/{prediction_id}/cancel": {
            "post": operation("replicate_cancel", "Ask that it stops", known, _ONE)
        },
        "/v1/predictions/{prediction_id}/stream": {
            "get": operation(
                "replicate_stream",
                "Its events, in Replicate's words",
                {**EVENTS, **_UNKNOWN, **_problems("406", "429")},
                _ONE,
                LAST_EVENT,
            )
        },
        "/v1/files": {
            "post": operation(
                "replicate_take_file",
                "A file for an input, given back as a URL that is one; nothing is kept",
                {
                    "201": answer("`urls.get` holds the file itself", OBJECT),
                    **_problems("400", "413", "415", "422"),
                },
                requestBody=_FORM,
            )
        },
        "/v1/models/{owner}/{name}/predictions": {
            "post": operation(
                "replicate_create_of_model",
                "Run a prediction, whatever the model is called",
                created,
                *_MODEL,
                _PREFER,
                requestBody=body,
            )
        },
        "/v1/models/{owner}/{name}/versions/{version_id}": {
            "get": operation(
                "replicate_version",
                "What the model takes and gives",
                {"200": answer("Its OpenAPI document", OBJECT)},
                *_MODEL,
                parameter("path", "version_id", _NAME),
            )
        },
    }
