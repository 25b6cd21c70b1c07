"""`Prefer`, `Accept`, traces, and headers that nobody knows."""

from __future__ import annotations

from typing import Any, Final

from tests.differential.rows import SSE, post, put, row

__all__ = ["ROWS"]

# Seconds are so many that the slowest machine has the result in time.
_PREFER = (
    "respond-async",
    "Respond-Async",
    "RESPOND-ASYNC",
    " respond-async ",
    "respond-async, wait=60",
    "wait=60, respond-async",
    "respond-async; x=1",
    'x="respond-async"',
    "respond-asynchronously",
    "respond-sync",
    "wait",
    "wait=60",
    "wait=0",
    "wait=-1",
    "wait=soon",
    "",
)
ACCEPT: Final = (
    "text/event-stream",
    "TEXT/EVENT-STREAM",
    "text/event-stream;q=1",
    "text/event-stream;q=0",
    "text/event-stream, application/json",
    "application/json, text/event-stream",
    "application/json;q=1, text/event-stream;q=0.1",
    "text/event-streams",
    "x-text/event-stream",
    "text/*",
    "*/*",
    "application/json",
    "application/xml",
    "image/png",
    "nonsense",
    "",
)
"""Forms of the header; with a model that has not opted in here, with one that has in `stages`."""

_BODY: dict[str, Any] = {"id": "<id>", "input": {"n": 2}}
_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

ROWS: Final = (
    *(row(f"Prefer: {value!r}", post(_BODY, ("prefer", value))) for value in _PREFER),
    row("two Prefer", post(_BODY, ("prefer", "wait=60"), ("prefer", "respond-async"))),
    row("PUT Prefer: respond-async", put(_BODY, ("prefer", "respond-async"))),
    row(
        "respond-async and an invalid input",
        post({"input": {"n": 9}}, ("prefer", "respond-async")),
    ),
    *(row(f"Accept: {value!r}", post(_BODY, ("accept", value))) for value in ACCEPT),
    row("two Accept", post(_BODY, ("accept", "application/json"), SSE)),
    row("PUT Accept: text/event-stream", put(_BODY, SSE)),
    row("SSE and respond-async", post(_BODY, SSE, ("prefer", "respond-async"))),
    row("SSE and an invalid input", post({"input": {"n": 9}}, SSE)),
    row("SSE and no JSON", post("{", SSE)),
    row("SSE of a failure", post({"id": "<id>", "input": {"do": "fail"}}, SSE)),
    row("a trace", post(_BODY, ("traceparent", _TRACE), ("tracestate", "a=b"))),
    row("a trace that is none", post(_BODY, ("traceparent", "nonsense"))),
    row("Accept-Encoding: gzip", post(_BODY, ("accept-encoding", "gzip"))),
    row("an unknown header", post(_BODY, ("x-unknown", "1"))),
    row("a header that is not ASCII", post(_BODY, ("x-unknown", "é"))),
    row("Origin", post(_BODY, ("origin", "http://example.com"))),
    row("Authorization", post(_BODY, ("authorization", "Bearer x"))),
    row("Range", post(_BODY, ("range", "bytes=0-1"))),
    row("If-None-Match", post(_BODY, ("if-none-match", "*"))),
)
