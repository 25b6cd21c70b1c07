"""What the application sees of a request: its target as a path, an id, and a trace or none.

A request may name its target by a whole URL (RFC 9112, 3.2.2). Its `x-request-id` is the client's
if it has the form of ours, else a new one; a `traceparent` or `tracestate` that is malformed is
dropped, so that whoever reads these headers behind here may pass them on.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from supervisor.http.trace_context import is_traceparent, is_tracestate

if TYPE_CHECKING:
    from hypercorn.typing import HTTPScope

__all__ = ["REQUEST_ID", "new_request_id", "request_scope"]

REQUEST_ID: Final = "x-request-id"

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9\-_.~:]{1,128}")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://(?P<host>[^/?#]*)(?P<path>[^?#]*)")

_OURS: Final = frozenset({b"x-request-id", b"traceparent", b"tracestate"})

_Headers = list[tuple[bytes, bytes]]


def request_scope(scope: HTTPScope) -> tuple[HTTPScope, str]:
    """The scope as the application gets it, and the request's id."""
    given = list(scope["headers"])
    request_id = _request_id(given)
    ours = [(b"x-request-id", request_id.encode("ascii")), *_trace(given)]
    headers = [pair for pair in given if pair[0] not in _OURS] + ours
    changed: HTTPScope = {**scope, "headers": headers}
    absolute = _ABSOLUTE.match(scope["raw_path"])
    if absolute is not None:
        host = [(b"host", absolute["host"])]
        changed["headers"] = host + [pair for pair in headers if pair[0] != b"host"]
        changed["raw_path"] = absolute["path"] or b"/"
        changed["path"] = unquote(changed["raw_path"].decode("ascii"))
    return changed, request_id


def new_request_id() -> str:
    """The id of a request whose client gave none, or none that is fit for a log."""
    return uuid.uuid4().hex


def _request_id(headers: _Headers) -> str:
    values = _values(headers, b"x-request-id")
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return new_request_id()


def _trace(headers: _Headers) -> _Headers:
    """The two headers of a trace, as far as they are sound."""
    parents = _values(headers, b"traceparent")
    if len(parents) != 1 or not is_traceparent(parents[0].decode("latin-1")):
        return []
    state = b",".join(_values(headers, b"tracestate"))
    if not state or not is_tracestate(state.decode("latin-1")):
        return [(b"traceparent", parents[0])]
    return [(b"traceparent", parents[0]), (b"tracestate", state)]


def _values(headers: _Headers, wanted: bytes) -> list[bytes]:
    return [value for name, value in headers if name == wanted]
