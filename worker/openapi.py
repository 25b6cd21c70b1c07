"""The frame of a model's OpenAPI document: everything in it that does not depend on the model."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from worker.fragments import Node
from worker.sdk import COGLET_RELEASE

__all__ = ["FIXED_COMPONENTS", "Side", "document"]


@frozen
class Side:
    """What depends on the model, of its predictions or of its trainings."""

    inputs: Node
    """The schema of the input object, without its title."""
    output: Node
    is_streaming: bool = False
    """Whether it may be followed as server-sent events."""


def document(run: Side | None, train: Side | None, enumerations: Node) -> Node:
    """The whole document.

    Args:
        run: predictions; None if there are none.
        train: trainings; None if there are none.
        enumerations: the schemas of the choices, by the names under which the inputs refer to them.
    """
    sides = [
        *([_side(run, "", "prediction", enumerations)] if run is not None else []),
        *([_side(train, "Training", "training", enumerations)] if train is not None else []),
    ]
    schemas: Node = {}
    paths: Node = {
        "/": _get("root__get", "Root"),
        "/health-check": _get("healthcheck_health_check_get", "Healthcheck"),
    }
    for side_schemas, side_paths in sides:
        schemas |= side_schemas
        paths |= side_paths
    whole = {
        "components": {"schemas": schemas | _FIXED_SCHEMAS},
        "info": {"title": "Cog", "version": COGLET_RELEASE},
        "openapi": "3.0.2",
        "paths": paths,
    }
    # The tool merges two documents by a detour that keeps no order at all.
    return _alphabetical(whole) if len(sides) > 1 else whole


def _side(side: Side, prefix: str, word: str, enumerations: Node) -> tuple[Node, Node]:
    """The components and the paths of one side."""
    kind = word.capitalize()
    schemas: Node = {
        f"{prefix}Input": _with_title(side.inputs, f"{prefix}Input"),
        f"{prefix}Output": side.output,
        **enumerations,
        f"{kind}Request": _request(kind, f"{prefix}Input"),
        f"{kind}Response": _response(kind, prefix),
    }
    paths: Node = {
        f"/{word}s": {"post": _run(kind, is_streaming=side.is_streaming)},
        f"/{word}s/{{{word}_id}}/cancel": {"post": _cancel(word)},
    }
    return schemas, paths


def _alphabetical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _alphabetical(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_alphabetical(item) for item in value]
    return value


def _with_title(node: Node, title: str) -> Node:
    return dict(sorted({**node, "title": title}.items()))


def _reference(name: str) -> Node:
    return {"$ref": f"#/components/schemas/{name}"}


def _text(title: str) -> Node:
    return {"title": title, "type": "string"}


def _time(title: str) -> Node:
    return {"format": "date-time", "title": title, "type": "string"}


def _request(kind: str, input_name: str) -> Node:
    return {
        "properties": {"id": _text("Id"), "input": _reference(input_name)},
        "title": f"{kind}Request",
        "type": "object",
    }


def _response(kind: str, prefix: str) -> Node:
    return {
        "properties": {
            "completed_at": _time("Completed At"),
            "created_at": _time("Created At"),
            "error": _text("Error"),
            "id": _text("Id"),
            "input": _reference(f"{prefix}Input"),
            "logs": _text("Logs"),
            "metrics": {"title": "Metrics", "type": "object"},
            "output": _reference(f"{prefix}Output"),
            "started_at": _time("Started At"),
            "status": _text("Status"),
            "version": _text("Version"),
        },
        "title": f"{kind}Response",
        "type": "object",
    }


_FIXED_SCHEMAS: Final[Node] = {
    "Status": {
        "description": "An enumeration.",
        "enum": ["starting", "processing", "succeeded", "canceled", "failed"],
        "title": "Status",
        "type": "string",
    },
    "HTTPValidationError": {
        "properties": {
            "detail": {
                "items": _reference("ValidationError"),
                "title": "Detail",
                "type": "array",
            }
        },
        "title": "HTTPValidationError",
        "type": "object",
    },
    "ValidationError": {
        "properties": {
            "loc": {
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "title": "Location",
                "type": "array",
            },
            "msg": _text("Message"),
            "type": _text("Error Type"),
        },
        "required": ["loc", "msg", "type"],
        "title": "ValidationError",
        "type": "object",
    },
}


FIXED_COMPONENTS: Final = frozenset(
    [
        *_FIXED_SCHEMAS,
        *("Input", "Output", "PredictionRequest", "PredictionResponse"),
        *("TrainingInput", "TrainingOutput", "TrainingRequest", "TrainingResponse"),
    ]
)
"""Names of components that no enumeration may have."""


def _json(schema: Node) -> Node:
    return {"application/json": {"schema": schema}}


def _succeeds(schema: Node) -> Node:
    return {"content": _json(schema), "description": "Successful Response"}


def _answers(schema: Node) -> Node:
    refusal = {
        "content": _json(_reference("HTTPValidationError")),
        "description": "Validation Error",
    }
    return {"200": _succeeds(schema), "422": refusal}


def _get(operation: str, summary: str) -> Node:
    return {
        "get": {"operationId": operation, "responses": {"200": _succeeds({})}, "summary": summary}
    }


def _run(kind: str, *, is_streaming: bool) -> Node:
    word = kind.lower()
    verb = "train" if kind == "Training" else "predict"
    node: Node = {
        "description": f"Run a single {word} on the model",
        "operationId": f"{verb}_{word}s_post",
        "requestBody": {"content": _json(_reference(f"{kind}Request"))},
        "responses": _answers(_reference(f"{kind}Response")),
        "summary": verb.capitalize(),
    }
    return {**node, "x-cog-streaming": True} if is_streaming else node


def _cancel(word: str) -> Node:
    name = f"{word}_id"
    return {
        "operationId": f"cancel_{word}s__{name}__cancel_post",
        "parameters": [
            {
                "in": "path",
                "name": name,
                "required": True,
                "schema": _text(f"{word.capitalize()} Id"),
            }
        ],
        "responses": _answers({}),
        "summary": "Cancel",
    }
