"""Predictions by how they end, their ids, and what is asked while one runs."""

from __future__ import annotations

from typing import Any, Final

from attrs import evolve

from tests.differential.rows import SSE, ask, post, put, row

__all__ = ["ROWS"]


def _do(what: str, **more: Any) -> dict[str, Any]:
    return {"id": "<id>", "input": {"do": what}, **more}


_CANCEL = ask("POST", "/predictions/<id>/cancel")
# The folder that coglet leaves behind for an id is found by `ID` at its beginning.
_IDS = (
    "",
    "<id>-b_c.d~e:F",
    "<id> b",
    "<id>/b",
    "<id>/../b",
    "..",
    ".",
    "...",
    "<id>é",
    "<id>\\nb",
    "<id>%41",
    "<id>+b@c;d",
    "<id>" + "x" * 129,
)
_PATHS = (
    "<id>%20b",
    "<id>%2Fb",
    "%2e%2e",
    "..",
    "<id>%C3%A9",
    "<id>%FF",
    "<id>%",
    "<id>%zz",
    "<id>+b",
    "<id>" + "x" * 129,
    "<id>;b",
    "<id>@",
)

ROWS: Final = (
    row("logs on both streams", post(_do("logs"))),
    row("a failure", post(_do("fail"))),
    row("a context and metrics", post(_do("context", context={"who": "me", "é": "日"}))),
    row("a context without anything", post(_do("context"))),
    row("a context that is empty", post(_do("context", context={}))),
    row("PUT of a failure", put(_do("fail"))),
    # --- ids
    *(row(f"POST id {id[:15]!r}", post(f'{{"id": "{id}"}}')) for id in _IDS),
    *(row(f"PUT id {id[:15]}", ask("PUT", f"/predictions/{id}", {})) for id in _PATHS),
    *(row(f"cancel of {id[:15]}", ask("POST", f"/predictions/{id}/cancel")) for id in _PATHS),
    row("PUT with the id of the path", put({"id": "<id>", "input": {"n": 2}})),
    row("PUT without an id", put({"input": {"n": 2}})),
    row("PUT with null as id", put({"id": None})),
    row("PUT with another id", put({"id": "<id>another", "input": {"n": 2}})),
    row("PUT with an empty id", put({"id": ""})),
    row("PUT with another id and an invalid input", put({"id": "<id>another", "input": {"n": 9}})),
    row("PUT with another id, async", put({"id": "<id>another"}, ("prefer", "respond-async"))),
    # --- one after the other
    row("POST of an id again", post(_do("logs")), post(_do("logs"))),
    row("PUT of an id again", put(_do("logs")), put(_do("logs"))),
    row("PUT again with another input", put({"input": {"n": 2}}), put({"input": {"n": 3}})),
    row("PUT again of a failure", put(_do("fail")), put(_do("logs"))),
    row("PUT again that is invalid", put({"input": {"n": 2}}), put({"input": {"n": 9}})),
    row("POST, then PUT", post(_do("logs")), put(_do("logs"))),
    row("async, then PUT", post(_do("logs"), ("prefer", "respond-async")), put(_do("logs"))),
    row("cancel of what has ended", post(_do("logs")), _CANCEL),
    row("GET of what has ended", post(_do("logs")), ask("GET", "/predictions/<id>")),
    # --- while one runs
    row("busy: health", ask("GET", "/health-check"), busy=True),
    row("busy: discovery", ask("GET", "/"), busy=True),
    row("busy: POST", post({"id": "<id>another", "input": {"n": 2}}), busy=True),
    row("busy: POST without a body", post(), busy=True),
    row("busy: POST, async", post({"input": {}}, ("prefer", "respond-async")), busy=True),
    row("busy: POST that is invalid", post({"input": {"n": 9}}), busy=True),
    row("busy: POST that is no JSON", post("{"), busy=True),
    row("busy: POST with SSE", post({"input": {}}, SSE), busy=True),
    row("busy: PUT of another id", ask("PUT", "/predictions/<id>another", {}), busy=True),
    row("busy: PUT of it", put(_do("wait")), busy=True),
    row("busy: PUT of it without a body", put(), busy=True),
    row("busy: PUT of it with another input", put({"input": {"n": 3}}), busy=True),
    row("busy: PUT of it with an invalid input", put({"input": {"n": 9}}), busy=True),
    row("busy: PUT of it with another id", put({"id": "<id>another"}), busy=True),
    row("busy: PUT of it that is no JSON", put("{"), busy=True),
    row("busy: PUT of it, async", put(_do("wait"), ("prefer", "respond-async")), busy=True),
    row("busy: cancel of another", ask("POST", "/predictions/<id>another/cancel"), busy=True),
    row("busy: cancel", _CANCEL, busy=True),
    row("busy: cancel as a training", ask("POST", "/trainings/<id>/cancel"), busy=True),
    row("busy: PUT of it as a training", ask("PUT", "/trainings/<id>", {}), busy=True),
    row("busy: GET of it", ask("GET", "/predictions/<id>"), busy=True),
    row("canceled", post(_do("wait"), then_cancel=True)),
    row("canceled, by PUT", put(_do("wait"), then_cancel=True)),
    row("canceled, then again", post(_do("wait"), then_cancel=True), _CANCEL),
    row("canceled, then PUT again", put(_do("wait"), then_cancel=True), put(_do("logs"))),
    evolve(row("the worker dies", post(_do("exit"))), is_fatal=True),
)
