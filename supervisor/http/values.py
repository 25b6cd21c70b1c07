"""A request and a response as plain values: what every front and every handler agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import Factory, frozen

from protocol.json_text import dumps

__all__ = ["JSON", "Headers", "Request", "Response", "json_response"]

Headers: TypeAlias = tuple[tuple[str, str], ...]

JSON: Final = "application/json"


@frozen
class Request:
    """One request, read whole."""

    headers: Mapping[str, str] = Factory(dict)
    """By lower-case name; several of one name are joined by a comma."""
    body: bytes = b""


@frozen
class Response:
    """One response, its body whole. The front adds `content-length` and `date`."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: str = JSON


def json_response(status: int, value: Any, headers: Headers = ()) -> Response:
    """A response whose body is `value` as JSON."""
    return Response(status, dumps(value), headers)
