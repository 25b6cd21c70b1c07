"""Other models: one that streams, one that is trained, one that fails to set up, no document."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from tests.differential.rows import SSE, Ask, Row, ask, post, put, row
from tests.differential.table.headers import ACCEPT

__all__ = ["ROWS"]


def _train(body: Any = None, *headers: tuple[str, str], **more: Any) -> Ask:
    return ask("POST", "/trainings", body, *headers, **more)


def _put_training(body: Any = None, *headers: tuple[str, str], **more: Any) -> Ask:
    return ask("PUT", "/trainings/<id>", body, *headers, **more)


_TOKENS: dict[str, Any] = {"id": "<id>", "input": {"count": 2}}
_WAITS: dict[str, Any] = {"id": "<id>", "input": {"count": 1, "end": "wait"}}
_FAILS: dict[str, Any] = {"id": "<id>", "input": {"count": 1, "end": "fail"}}
_STEPS: dict[str, Any] = {"id": "<id>", "input": {"steps": 2}}

_STREAMING = (
    *(row(f"Accept: {value!r}", post(_TOKENS, ("accept", value))) for value in ACCEPT),
    row("the document", ask("GET", "/openapi.json")),
    row("discovery", ask("GET", "/")),
    row("no chunks", post({"id": "<id>", "input": {"count": 0}}, SSE)),
    row("no chunks, as JSON", post({"id": "<id>", "input": {"count": 0}})),
    row("many chunks", post({"id": "<id>", "input": {"count": 300}}, SSE)),
    row("a failure", post(_FAILS, SSE)),
    row("a failure, as JSON", post(_FAILS)),
    row("canceled", post(_WAITS, SSE, then_cancel=True)),
    row("canceled, as JSON", post(_WAITS, then_cancel=True)),
    row("PUT", put(_TOKENS, SSE)),
    row("PUT of an id again", put(_TOKENS, SSE), put(_TOKENS, SSE)),
    row("PUT with another id", put({"id": "<id>another"}, SSE)),
    row("SSE and respond-async", post(_TOKENS, SSE, ("prefer", "respond-async"))),
    row("SSE and wait", post(_TOKENS, SSE, ("prefer", "wait=1"))),
    row("an invalid input", post({"input": {"count": -1}}, SSE)),
    row("no JSON", post("{", SSE)),
    row("another content type", post(_TOKENS, SSE, kind=("content-type", "text/plain"))),
    row("an unknown input", post({"id": "<id>", "input": {"x": 1}}, SSE)),
    row("a Last-Event-ID", post(_TOKENS, SSE, ("last-event-id", "1"))),
    row("GET with SSE", ask("GET", "/predictions/<id>", None, SSE)),
    row("a training with SSE", _train(_TOKENS, SSE)),
    row("a training", _train(_TOKENS)),
)
_TRAINING = (
    row("the document", ask("GET", "/openapi.json")),
    row("discovery", ask("GET", "/")),
    row("health", ask("GET", "/health-check")),
    row("POST", _train(_STEPS)),
    row("POST without a body", _train()),
    row("POST without what is required", _train({"input": {}})),
    row("POST of an invalid input", _train({"input": {"steps": 9}})),
    row("POST of an unknown input", _train({"id": "<id>", "input": {"steps": 2, "x": 1}})),
    row("POST, async", _train(_STEPS, ("prefer", "respond-async"))),
    row("POST with SSE", _train(_STEPS, SSE)),
    row("POST with SSE and an invalid input", _train({"input": {"steps": 9}}, SSE)),
    row("POST of no JSON", _train("{")),
    row("POST of a wrong shape", _train({"input": [1]})),
    row("POST of another content type", _train(_STEPS, kind=("content-type", "text/plain"))),
    row("a failure", _train({"id": "<id>", "input": {"steps": 2, "end": "fail"}})),
    row(
        "canceled",
        _train({"id": "<id>", "input": {"steps": 2, "end": "wait"}}, then_cancel=True),
    ),
    row("PUT", _put_training(_STEPS)),
    row("PUT with another id", _put_training({"id": "<id>another", "input": {"steps": 2}})),
    row("PUT with SSE", _put_training(_STEPS, SSE)),
    row("PUT of an id again", _put_training(_STEPS), _put_training(_STEPS)),
    row("PUT of an invalid input", _put_training({"input": {"steps": 9}})),
    row("cancel of nothing", ask("POST", "/trainings/<id>/cancel")),
    row("GET /trainings", ask("GET", "/trainings")),
    row("GET /trainings/<id>/cancel", ask("GET", "/trainings/<id>/cancel")),
    row("a prediction", post(_STEPS)),
    row("a prediction by PUT", put(_STEPS)),
    row("a prediction with SSE", post(_STEPS, SSE)),
)
_FAILED = (
    row("health", ask("GET", "/health-check")),
    row("the document", ask("GET", "/openapi.json")),
    row("discovery", ask("GET", "/")),
    row("POST", post({"input": {}})),
    row("POST without a body", post()),
    row("POST, async", post({"input": {}}, ("prefer", "respond-async"))),
    row("POST with SSE", post({"input": {}}, SSE)),
    row("POST that is no JSON", post("{")),
    row("POST of a wrong shape", post({"input": 1})),
    row("PUT", put({"input": {}})),
    row("PUT with another id", put({"id": "<id>another"})),
    row("cancel", ask("POST", "/predictions/<id>/cancel")),
    row("a training", _train({"input": {}})),
)
_NO_SCHEMA = (
    row("the document", ask("GET", "/openapi.json")),
    row("discovery", ask("GET", "/")),
    row("POST without a body", post({"id": "<id>"})),
    row("an invalid input", post({"id": "<id>", "input": {"n": 9}})),
    row("a wrong type", post({"id": "<id>", "input": {"flag": "maybe"}})),
    row("an unknown input", post({"id": "<id>", "input": {"unknown": 1}})),
    row("SSE", post({"id": "<id>"}, SSE)),
    row("input is a list", post({"input": [1]})),
    row("a training", _train({"id": "<id>"})),
    row("a training with SSE", _train({"id": "<id>"}, SSE)),
)


def _at(stage: str, rows: tuple[Row, ...]) -> list[Row]:
    return [evolve(row, stage=stage, name=f"{stage}: {row.name}") for row in rows]


ROWS: Final = (
    *_at("tokens", _STREAMING),
    *_at("training", _TRAINING),
    *_at("failed", _FAILED),
    *_at("no schema", _NO_SCHEMA),
)
