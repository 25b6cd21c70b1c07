"""A request and a response as plain values: what every front and every handler agree on."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from attrs import Factory, frozen

from protocol.json_text import dumps

__all__ = ["JSON", "Headers", "Pieces", "Request", "Response", "json_response"]

Headers: TypeAlias = tuple[tuple[str, str], ...]

Pieces: TypeAlias = AbstractAsyncContextManager[AsyncIterable[bytes]]
"""A body that comes bit by bit: entered before the first piece, left when no more are wanted."""

JSON: Final = "application/json"


@frozen
class Request:
    """One request, read whole."""

    headers: Mapping[str, str] = Factory(dict)
    """By lower-case name; several of one name are joined by a comma."""
    body: bytes = b""
    max_body: int = 100 * 1024 * 1024
    """Bytes that the body may have, decoded."""
    at_end: Callable[[Callable[[], object]], object] = lambda _: None
    """Takes what is to be called when the request is over, answered or not."""
    query: Mapping[str, str] = Factory(dict)
    """What stands after `?`; of several of one name the first."""
    scheme: str = "http"
    """Or "https"."""


@frozen
class Response:
    """One response. The front adds `date`, and `content-length` if the body is whole."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = JSON
    pieces: Pieces | None = None
    """The body, if it is not whole: each piece is sent as soon as it is there. Being cancelled
    there means that the client has gone."""


def json_response(status: int, value: Any, headers: Headers = ()) -> Response:
    """A response whose body is `value` as JSON."""
    return Response(status, dumps(value), headers)
