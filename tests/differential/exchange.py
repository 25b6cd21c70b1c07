"""Sends a request as it stands, and says of the answer what two servers can have in common."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import select
import socket
from typing import TYPE_CHECKING, Any

from tests.differential.rows import ID
from tests.interop.servers import start_limit
from tests.worker.corpus_facts import for_toml

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.rows import Ask
    from tests.worker.corpus_facts import Facts

__all__ = ["send"]

_MADE_ID = re.compile(r"\bpred_[0-9a-f]{10,}\b")
_SLOT = re.compile(r"\(slot [0-9a-f-]{36}\)")
_VARYING = {
    "predict_time": "<seconds>",
    "started_at": "<time>",
    "completed_at": "<time>",
    "created_at": "<time>",
    "version": "<version>",
    "results": "<list>",
    "cog_version": "<version>",
}
"""What no two servers say alike, and what stands for it."""

_OTHER_HEADERS = ("cache-control", "retry-after", "location")
"""Headers that are compared besides the type of the content."""


def send(
    port: int,
    ask: Ask,
    id: str,
    sent: Callable[[Callable[[], bool]], None],
    made_ids: set[str],
) -> Facts:
    """Ask, call `sent`, and read the answer. `id` goes in the place of `ID`.

    `sent` gets a function that says whether there is an answer already, other than events that
    are still coming. `made_ids` gets the ids that the server made up.

    Facts are `status`, `type` (of the content), `allow`, a few other headers, and the `body`: what
    is JSON as a value with its keys in order, events as a list, the rest as text.
    """
    with socket.create_connection(("127.0.0.1", port), start_limit()) as connection:
        # A server may refuse a body before it has come, and say so.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(_head(port, ask, id))
            connection.sendall(_body(ask, id))
        sent(lambda: _is_answered(connection))
        answer = http.client.HTTPResponse(connection, method=ask.method)
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ConnectionResetError) as error:
            return {"status": type(error).__name__}
    text = body.decode("utf-8", "backslashreplace")
    made_ids.update(_MADE_ID.findall(text))
    return _facts(answer, text.replace(id, ID))


def _is_answered(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    return bool(readable) and b"text/event-stream" not in connection.recv(4096, socket.MSG_PEEK)


def _head(port: int, ask: Ask, id: str) -> bytes:
    body = _body(ask, id)
    lines = [
        f"{ask.method} {ask.path.replace(ID, id)} HTTP/{ask.version}",
        f"host: localhost:{port}",
    ]
    lines += [f"{name}: {value.replace(ID, id)}" for name, value in ask.headers]
    if ask.is_chunked:
        lines.append("transfer-encoding: chunked")
    elif ask.body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8")


def _body(ask: Ask, id: str) -> bytes:
    body = (ask.body or b"").replace(ID.encode(), id.encode()).ljust(ask.pad_to)
    if not ask.is_chunked:
        return body
    parts = [part for part in (body[: len(body) // 2], body[len(body) // 2 :]) if part]
    chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in parts]
    return b"".join([*chunks, b"0\r\n\r\n"])


def _facts(answer: http.client.HTTPResponse, text: str) -> Facts:
    kind = answer.headers.get("content-type", "")
    facts: Facts = {"status": answer.status, "type": kind}
    if answer.status == 405:
        methods = re.split(r", *", answer.headers.get("allow", ""))
        facts["allow"] = ", ".join(sorted(methods))
    for name in _OTHER_HEADERS:
        if name in answer.headers:
            facts[name] = answer.headers[name]
    facts["body"] = for_toml(_value(kind, text))
    return facts


def _value(kind: str, text: str) -> Any:
    text = _SLOT.sub("(slot <slot>)", _MADE_ID.sub("<made>", text))
    if kind.startswith("application/json") and text:
        value = json.loads(text)
        is_document = isinstance(value, dict) and "openapi" in value
        return _plain(_document(value) if is_document else value)
    if kind.startswith("text/event-stream"):
        return _events(text)
    return text


def _events(text: str) -> list[Any]:
    """The events by their names. Comments go, and so do the numbers: coglet has none."""
    events = []
    for block in text.split("\n\n"):
        fields = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        named = {name: value for name, _, value in fields}
        if named:
            events.append({named["event"]: _plain(json.loads(named["data"]))})
    return events


def _document(document: dict[str, Any]) -> dict[str, Any]:
    """What of an OpenAPI document is the model's, and which routes it has."""
    schemas = document["components"]["schemas"]
    models = {name: each for name, each in schemas.items() if name.endswith(("Input", "Output"))}
    enums = {name: each for name, each in schemas.items() if "enum" in each and name.islower()}
    paths = {path: ", ".join(sorted(methods)) for path, methods in document["paths"].items()}
    return {"schemas": models | enums, "paths": paths, "openapi": document["openapi"]}


def _plain(value: Any) -> Any:
    """A value without what varies, the keys of every object in order."""
    match value:
        case dict():
            named = {key: _VARYING.get(key) or _plain(value[key]) for key in sorted(value)}
            if named.get("status") == "succeeded" and "completed_at" in named:
                # Set-up: coglet has its own lines there, and loses the last ones now and then.
                named.pop("logs", None)
            return named
        case list():
            return [_plain(item) for item in value]
        case _:
            return value
