"""What the served OpenAPI document says of questions and answers: our schemas, by their names.

They have a dot in their names, which no class of a model can have.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from supervisor.http.lookup import LIMIT_DEFAULT, LIMIT_MAX

__all__ = [
    "COMMON",
    "EVENT",
    "EVENTS",
    "ID",
    "LAST_EVENT",
    "OBJECT",
    "OPTIONS",
    "OWN_ID",
    "PAGE",
    "SCHEMAS",
    "STRING",
    "UNKNOWN",
    "UNPROCESSABLE",
    "Node",
    "answer",
    "header",
    "operation",
    "parameter",
    "ref",
]

Node: TypeAlias = dict[str, Any]

_STATUSES: Final = ["starting", "processing", "succeeded", "failed", "canceled"]
ID: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 128,
    "pattern": r"^[A-Za-z0-9\-_~:][A-Za-z0-9\-_.~:]*$",
}
"""Stricter than `check_id`: no dot at the beginning, which keeps the pattern simple."""

STRING: Final = {"type": "string"}
_TEXT: Final = {"type": "string", "nullable": True}
OWN_ID: Final = {**ID, "nullable": True, "description": "Of a PUT: that of the path, or none."}
"""In a body, where null is as good as none."""
_PREFIX: Final = r"^(https?://[A-Za-z0-9.-]+(:[1-5]?[0-9]{1,4})?([/?][!-~]*)?)?$"
"""Empty is none. Stricter than what is taken, to be simple: no user, no IPv6, only ASCII."""
EVENT: Final = {
    "type": "object",
    "description": "One event of the stream; its data is JSON, under /v1 also plain text.",
    "properties": {"id": STRING, "event": STRING, "data": STRING},
}
_TIME: Final = {"type": "string", "format": "date-time"}


def ref(name: str) -> Node:
    """A schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def answer(description: str, schema: Node, **more: Any) -> Node:
    """An answer with a body of JSON; `more`: its headers and links."""
    return {"description": description, "content": {"application/json": {"schema": schema}}, **more}


def header(description: str) -> Node:
    """A header of an answer."""
    return {"description": description, "schema": STRING}


def parameter(place: str, name: str, schema: Node, description: str = "") -> Node:
    """A parameter of a route; `place`: "path", "query" or "header"."""
    described: Node = {"in": place, "name": name, "schema": schema}
    if place == "path":
        described["required"] = True
    return {**described, "description": description} if description else described


def operation(name: str, summary: str, answers: Node, *parameters: Node, **more: Any) -> Node:
    """What a method of a route does; every one has the common errors."""
    described: Node = {"operationId": name, "summary": summary}
    if parameters:
        described["parameters"] = list(parameters)
    return {**described, **more, "responses": {**answers, **COMMON}}


SCHEMAS: Final[Node] = {
    "coglet.Detail": {
        "type": "object",
        "description": "What is wrong, in a sentence.",
        "required": ["detail"],
        "properties": {"detail": STRING},
    },
    "coglet.Invalid": {
        "type": "object",
        "description": "What is wrong, thing by thing.",
        "required": ["detail"],
        "properties": {
            "detail": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["loc", "msg", "type"],
                    "properties": {
                        "loc": {"type": "array", "items": STRING},
                        "msg": STRING,
                        "type": STRING,
                    },
                },
            }
        },
    },
    "coglet.Refused": {
        "type": "object",
        "description": "Why it cannot be done now.",
        "required": ["error"],
        "properties": {"error": STRING, "status": {"type": "string", "enum": ["failed"]}},
    },
    "coglet.Problem": {
        "type": "object",
        "description": "What is wrong, as Replicate says it.",
        "required": ["title", "status", "detail"],
        "properties": {"title": STRING, "status": {"type": "integer"}, "detail": STRING},
    },
    "coglet.ReplicatePrediction": {
        "type": "object",
        "description": "A prediction as Replicate says it.",
        "required": ["id", "model", "version", "status", "urls"],
        "properties": {
            "id": STRING,
            "model": STRING,
            "version": STRING,
            "status": {"type": "string", "enum": _STATUSES},
            "input": {"type": "object", "description": "Its secrets are masked."},
            "output": {"nullable": True, "description": "So far, while it runs."},
            "logs": STRING,
            "metrics": {"type": "object"},
            "error": {**_TEXT, "description": "Why it failed."},
            "created_at": _TIME,
            "started_at": {**_TIME, "nullable": True},
            "completed_at": {**_TIME, "nullable": True},
            "urls": {
                "type": "object",
                "required": ["get", "cancel"],
                "additionalProperties": STRING,
            },
        },
    },
    "coglet.Prediction": {
        "type": "object",
        "description": "A prediction or training; what is not there yet is left out.",
        "required": ["id", "status"],
        "properties": {
            "id": STRING,
            "status": {"type": "string", "enum": _STATUSES},
            "input": {"type": "object", "description": "Its secrets are masked."},
            "output": {"description": "So far, while it runs."},
            "logs": STRING,
            "metrics": {"type": "object"},
            "error": {"type": "string", "description": "Why it failed."},
            "created_at": _TIME,
            "started_at": _TIME,
            "completed_at": _TIME,
        },
    },
    "coglet.PredictionList": {
        "type": "object",
        "required": ["results", "next"],
        "properties": {
            "results": {
                "type": "array",
                "description": "The newest first, without input, output and logs.",
                "items": ref("coglet.Prediction"),
            },
            "next": {
                "type": "string",
                "nullable": True,
                "description": "The next page; null: this was the last one.",
            },
        },
    },
}

UNPROCESSABLE: Final = answer(
    "The input, or something else in the request, is invalid",
    {"anyOf": [ref("coglet.Invalid"), ref("coglet.Detail")]},
)
UNAVAILABLE: Final = answer(
    "No worker can take it now: set-up has not ended, or failed; the server ends; too many clients",
    {"anyOf": [ref("coglet.Refused"), ref("coglet.Detail")]},
    headers={"Retry-After": header("Seconds after which it is worth asking again.")},
)
OTHER: Final = answer("Any other error", {"anyOf": [ref("coglet.Detail"), ref("coglet.Refused")]})
UNKNOWN: Final = answer("Neither in flight nor remembered", ref("coglet.Detail"))
COMMON: Final = {"503": UNAVAILABLE, "default": OTHER}
OBJECT: Final = {"type": "object"}

EVENTS: Final[Node] = {
    "200": {
        "description": "Its events, from the beginning; then as they happen",
        "content": {"text/event-stream": {"schema": EVENT}},
    },
    "204": {"description": "Nothing follows what the client knows"},
}
LAST_EVENT: Final = parameter(
    "header", "Last-Event-ID", STRING, "The last event that the client knows."
)
PAGE: Final = (
    parameter(
        "query",
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT},
    ),
    # Only pages know cursors, so no other is described as valid.
    parameter(
        "query",
        "cursor",
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{8}$"},
        "From `next` of the page before.",
    ),
)

OPTIONS: Final[Node] = {
    "context": {
        "type": "object",
        "description": "For the model: current_scope().context.",
        "additionalProperties": STRING,
    },
    "webhook": {**_TEXT, "description": "A URL that is told how it goes."},
    "webhook_events_filter": {
        "type": "array",
        "description": "What it is told of; without this, all.",
        "items": {"type": "string", "enum": ["start", "output", "logs", "completed"]},
    },
    "output_file_prefix": {
        **_TEXT,
        "description": "Where output files are uploaded to.",
        "pattern": _PREFIX,
    },
}
