"""What a row of the table is, and short ways to write one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

__all__ = ["ID", "JSON", "SSE", "STAGES", "Ask", "Row", "Stage", "ask", "post", "put", "row"]

ID: Final = "<id>"
"""Stands for an id that no other row uses, in paths and bodies."""

JSON: Final = ("content-type", "application/json")
SSE: Final = ("accept", "text/event-stream")


@frozen(kw_only=True)
class Stage:
    """Two servers, coglet's and ours, with one model (a file of `tests/models/interop`)."""

    ref: str
    has_schema: bool = True
    is_train: bool = False
    variables: Mapping[str, str] = MappingProxyType({})
    """Added to the environment of both servers."""


STAGES: Final = {
    "everything": Stage(
        ref="everything.py:Predictor",
        # Coglet's rule of who may stream; the other stages show ours.
        variables=MappingProxyType({"COGLET_STRICT_STREAMING": "1"}),
    ),
    "tokens": Stage(ref="tokens.py:Predictor"),
    "training": Stage(ref="training.py:train", is_train=True),
    "failed": Stage(ref="failing_setup.py:Predictor", has_schema=False),
    "no schema": Stage(ref="everything.py:Predictor", has_schema=False),
}
"""All of them by name."""


@frozen(kw_only=True)
class Ask:
    """One request, as it goes over the connection."""

    method: str
    path: str
    version: str = "1.1"
    headers: tuple[tuple[str, str], ...] = ()
    """Besides `host` and, with a body, `content-length`."""
    body: bytes | None = None
    pad_to: int = 0
    """Bytes to which the body is filled up with spaces."""
    is_chunked: bool = False
    """Whether the body goes in two chunks, without a length."""
    then_cancel: bool = False
    """Whether the prediction of `ID` is canceled once it says "started"."""


@frozen(kw_only=True)
class Row:
    """Requests, one after the other, whose answers are compared."""

    name: str
    asks: tuple[Ask, ...]
    stage: str = "everything"
    is_busy: bool = False
    """Whether the prediction `ID` runs meanwhile, in the only slot."""
    is_fatal: bool = False
    """Whether the servers are of no use afterwards."""


def row(name: str, *asks: Ask, stage: str = "everything", busy: bool = False) -> Row:
    """A row."""
    return Row(name=name, asks=asks, stage=stage, is_busy=busy)


def ask(
    method: str,
    path: str,
    body: Any = None,
    *headers: tuple[str, str],
    kind: tuple[str, str] | None = JSON,
    **more: Any,
) -> Ask:
    """A request. A body of text or bytes goes as it is, any other as JSON; `kind` is its type."""
    match body:
        case None | bytes():
            data = body
        case str():
            data = body.encode()
        case _:
            data = json.dumps(body, ensure_ascii=False).encode()
    given = headers if data is None or kind is None else (kind, *headers)
    return Ask(method=method, path=path, headers=given, body=data, **more)


def post(body: Any = None, *headers: tuple[str, str], **more: Any) -> Ask:
    """`POST /predictions`."""
    return ask("POST", "/predictions", body, *headers, **more)


def put(body: Any = None, *headers: tuple[str, str], **more: Any) -> Ask:
    """`PUT /predictions/<id>`."""
    return ask("PUT", f"/predictions/{ID}", body, *headers, **more)
