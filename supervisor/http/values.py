"""A request and a response as plain values: what every front and every handler agree on."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeAlias

from attrs import Factory, frozen

from protocol.json_text import dumps
from supervisor.big_json import encode_off_loop

__all__ = [
    "JSON",
    "PIECE",
    "SAFE_METHODS",
    "Headers",
    "Pieces",
    "Request",
    "Response",
    "json_response",
    "sized_json_response",
]

Headers: TypeAlias = tuple[tuple[str, str], ...]

Pieces: TypeAlias = AbstractAsyncContextManager[AsyncIterable[bytes]]
"""A body that comes bit by bit: entered before the first piece, left when no more are wanted."""

JSON: Final = "application/json"

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Requests that set nothing going (RFC 9110, 9.2.1)."""

PIECE: Final = 1024 * 1024
"""Bytes of a body that are given on at a time: what is between here and the socket copies them."""


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
    body: bytes | bytearray = b""
    headers: Headers = ()
    content_type: str = JSON
    pieces: Pieces | None = None
    """The body, if it is not whole: each piece is sent as soon as it is there. Being cancelled
    there means that the client has gone."""


async def sized_json_response(
    status: int, value: Any, size: int, headers: Headers = ()
) -> Response:
    """A response whose body is `value` as JSON, which may have any size.

    Args:
        status: of the response.
        value: what a prediction has brought; it must not change any more.
        size: bytes of JSON that it has, roughly.
        headers: more of them.
    """
    return Response(status, await encode_off_loop(value, size), headers)


def json_response(status: int, value: Any, headers: Headers = ()) -> Response:
    """A response whose body is `value` as JSON, which is small."""
    return Response(status, dumps(value), headers)
