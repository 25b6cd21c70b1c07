"""The OpenAPI document as it is served: the model's own, and every route that this server adds.

What the model's document says is kept, for clients read from it what the model takes and gives:
things are added to it, at the places where it says nothing. Only its 422 is widened, as bodies of
the wrong shape are refused with a sentence.

Our schemas are in `supervisor.http.openapi_answers`.
"""

from __future__ import annotations

from typing import Any, Final

from supervisor.http.openapi_answers import (
    EVENT,
    EVENTS,
    ID,
    LAST_EVENT,
    OBJECT,
    OPTIONS,
    OWN_ID,
    PAGE,
    SCHEMAS,
    STRING,
    UNKNOWN,
    UNPROCESSABLE,
    Node,
    answer,
    header,
    operation,
    parameter,
    ref,
)
from supervisor.http.openapi_replicate import replicate_paths

__all__ = ["served_document"]


def served_document(document: Node) -> Node:
    """What `GET /openapi.json` answers for a model that describes itself by `document`.

    Predictions and trainings are both described, as both are answered: what is run is a matter of
    the server's mode. `document` itself is not changed.
    """
    paths = _object(document, "paths")
    known = _object(_object(document, "components"), "schemas")
    added: Node = dict(_ABOUT)
    requests: Node = {}
    for kind in ("prediction", "training"):
        added |= _runs(kind, known, _cancel_id(kind, paths))
        if kind == "prediction":
            added |= replicate_paths(_content(_request(kind, known)))
        requests[f"{kind.capitalize()}Request"] = _request(kind, known)
    schemas = SCHEMAS | {name: node for name, node in requests.items() if name in known}
    served: Node = _merged(document, {"paths": added, "components": {"schemas": schemas}})
    return served


def _object(node: Any, name: str) -> Node:
    child = node.get(name) if isinstance(node, dict) else None
    return child if isinstance(child, dict) else {}


def _merged(theirs: Any, ours: Any) -> Any:
    """`theirs`, with what only `ours` says; parameters go by their names."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and "$ref" not in theirs:
        merged = dict(theirs)
        for name, node in ours.items():
            widened = name == "422"
            merged[name] = node if widened or name not in theirs else _merged(theirs[name], node)
        return merged
    if isinstance(theirs, list) and isinstance(ours, list):
        known = [_name(one) for one in theirs]
        return [*theirs, *(one for one in ours if _name(one) not in known)]
    return theirs


def _name(node: Any) -> Any:
    return node.get("name") if isinstance(node, dict) else node


# --- routes -----------------------------------------------------------------------------------


_ABOUT: Final[Node] = {
    "/": {"get": operation("discover", "Where everything is", {"200": answer("It", OBJECT)})},
    "/health-check": {
        "get": operation("health_check", "How the server is", {"200": answer("It", OBJECT)})
    },
    "/openapi.json": {
        "get": operation("get_openapi", "This document", {"200": answer("It", OBJECT)})
    },
    "/shutdown": {
        "post": operation("shutdown", "End the server", {"200": answer("It will end", OBJECT)})
    },
}

_PREFER: Final = parameter(
    "header",
    "Prefer",
    STRING,
    "`respond-async`: 202 at once. `wait=N`: the result, or after N seconds 202 and what there is. "
    "With either, a client that leaves cancels nothing.",
)


def _cancel_id(kind: str, paths: Node) -> str:
    """What the operation is called that cancels; the model's document may have a name for it."""
    operation = _object(_object(paths, f"/{kind}s/{{{kind}_id}}/cancel"), "post")
    return str(operation.get("operationId", f"cancel_{kind}"))


def _runs(kind: str, known: Node, cancel_id: str) -> Node:
    """The routes of predictions, or of trainings. `known`: the schemas of the model's document."""
    title = kind.capitalize()
    one = f"/{kind}s/{{{kind}_id}}"
    prediction_id = parameter("path", f"{kind}_id", ID)
    response = f"{title}Response" if f"{title}Response" in known else "coglet.Prediction"
    body = _request(kind, known)
    has_file = _object(known, "Output").get("format") == "uri"
    answers = _answers(kind, response, has_file=has_file)
    by_answer = _links(kind, cancel_id, "$response.body#/id")
    by_path = _links(kind, cancel_id, f"$request.path.{kind}_id")
    paths = {
        f"/{kind}s": {
            "get": _list(kind),
            "post": operation(
                f"create_{kind}",
                f"Run a {kind}",
                _linked(answers, by_answer),
                _PREFER,
                requestBody=_content(body),
            ),
        },
        one: {
            "get": operation(
                f"get_{kind}",
                "All that is known of it",
                {"200": answer("As it is now", ref("coglet.Prediction")), "404": UNKNOWN},
                prediction_id,
            ),
            "put": operation(
                f"put_{kind}",
                f"Run a {kind}, unless it is in flight or has succeeded with the same input",
                _linked(answers, by_path),
                prediction_id,
                _PREFER,
                requestBody=_content(body),
            ),
        },
        f"{one}/cancel": {
            "post": operation(
                cancel_id,
                "Ask that it stops",
                {
                    "200": answer("It will stop", OBJECT),
                    "404": answer("Not in flight", OBJECT),
                },
                prediction_id,
            )
        },
    }
    if kind == "prediction":
        paths[f"{one}/stream"] = {"get": _stream(prediction_id)}
    return paths


def _request(kind: str, known: Node) -> Node:
    """The body of a request; the input is needed if the model needs one of its inputs."""
    names = ("Input", "TrainingInput") if kind == "prediction" else ("TrainingInput", "Input")
    name = next((name for name in names if name in known), names[0])
    properties = {"id": OWN_ID, "input": ref(name) if name in known else OBJECT, **OPTIONS}
    request: Node = {"type": "object", "properties": properties}
    return {**request, "required": ["input"]} if _object(known, name).get("required") else request


def _content(request: Node) -> Node:
    """A request with this body, which is needed if something in it is."""
    return {"content": {"application/json": {"schema": request}}, "required": "required" in request}


def _answers(kind: str, response: str, *, has_file: bool) -> Node:
    headers = {"Preference-Applied": header("What of `Prefer` was heeded.")}
    result = answer("Its result", ref(response), headers=headers)
    if has_file:
        result["content"]["application/octet-stream"] = {
            "schema": {"type": "string", "format": "binary"}
        }
    if kind == "prediction":
        result["content"]["text/event-stream"] = {"schema": EVENT}
    state = ref("coglet.Prediction")
    return {
        "200": result,
        "202": answer("It is in flight", state, headers=headers),
        "400": answer("The body is not what it says it is", ref("coglet.Detail")),
        "406": answer("It cannot be streamed", ref("coglet.Refused")),
        "409": answer("No slot is free, or the id is in flight", ref("coglet.Refused")),
        "413": answer("The body is too large", ref("coglet.Detail")),
        "415": answer("The body has a type that is not read", ref("coglet.Detail")),
        "422": UNPROCESSABLE,
        "429": answer("Too many read this stream", ref("coglet.Refused")),
    }


def _links(kind: str, cancel_id: str, place: str) -> Node:
    """What can be done next with the id, which is at `place`; by the names of the links."""
    operations = {f"{name}_{kind}": f"{name}_{kind}" for name in ("get", "put")}
    if kind == "prediction":
        operations["stream_prediction"] = "stream_prediction"
    operations[f"cancel_{kind}"] = cancel_id
    parameters = {f"{kind}_id": place}
    return {
        name: {"operationId": operation, "parameters": parameters}
        for name, operation in operations.items()
    }


def _linked(answers: Node, links: Node) -> Node:
    """The same, with what can be done next; what has ended cannot be cancelled."""
    after_end = {name: link for name, link in links.items() if not name.startswith("cancel_")}
    ended = {**answers["200"], "links": after_end}
    return {**answers, "200": ended, "202": {**answers["202"], "links": links}}


def _list(kind: str) -> Node:
    return operation(
        f"list_{kind}s",
        "Those in flight or remembered, the newest first",
        {
            "200": answer("A page", ref("coglet.PredictionList")),
            "403": answer("Not for this client", ref("coglet.Detail")),
            "422": UNPROCESSABLE,
        },
        *PAGE,
    )


def _stream(prediction_id: Node) -> Node:
    return operation(
        "stream_prediction",
        "Its events",
        {
            **EVENTS,
            "404": UNKNOWN,
            "406": answer("It cannot be streamed", ref("coglet.Refused")),
            "429": answer("Too many read this stream", ref("coglet.Refused")),
        },
        prediction_id,
        LAST_EVENT,
    )
