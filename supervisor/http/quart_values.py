"""The way from Quart's requests to our plain values, and from these to Quart's responses."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from quart import Response as QuartResponse
from quart import request as quart_request
from quart.wrappers.response import ResponseBody

from supervisor.http.values import PIECE, Request, Response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator

    from supervisor.http.values import Pieces

__all__ = ["AT_END", "plain_request", "quart_response"]

NO_CONTENT: Final = 204

AT_END: Final = "coglet_trio.at_end"
"""Where in the ASGI scope of a request its `at_end` is."""


async def plain_request() -> Request:
    """The request that is being answered, its body read whole."""
    body = await quart_request.get_data(cache=False, as_text=False, parse_form_data=False)
    headers: dict[str, str] = {}
    for name, value in quart_request.headers.items():
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    at_end = cast("dict[str, Any]", quart_request.scope)[AT_END]
    max_body = quart_request.max_content_length or 0
    args = quart_request.args.to_dict()
    return Request(headers, body, max_body, at_end, args, quart_request.scheme)


def quart_response(response: Response) -> QuartResponse:
    """`response`, for the request that is being answered."""
    headers = dict(response.headers)
    # A body that comes bit by bit is not begun for who wants the header only.
    pieces = response.pieces if quart_request.method != "HEAD" else None
    if pieces is None and len(response.body) > PIECE:
        headers["content-length"] = str(len(response.body))
        pieces = _cut(response.body)
    answer = QuartResponse(
        bytes(response.body) if pieces is None else _Pieces(pieces),
        response.status,
        headers,
        content_type=response.content_type,
    )
    if response.status == NO_CONTENT:  # which says nothing of a body (RFC 9110, 8.6)
        del answer.headers["content-length"], answer.headers["content-type"]
    return answer


class _Pieces(ResponseBody):
    """A body that comes bit by bit, as Quart wants it."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    async def __aenter__(self) -> AsyncIterable[bytes]:
        return await self._pieces.__aenter__()

    async def __aexit__(self, *exception: Any) -> None:
        await self._pieces.__aexit__(*exception)


@asynccontextmanager
async def _cut(body: bytes | bytearray) -> AsyncIterator[AsyncIterable[bytes]]:
    async def pieces() -> AsyncGenerator[bytes]:
        for start in range(0, len(body), PIECE):
            yield bytes(body[start : start + PIECE])

    async with aclosing(pieces()) as each:
        yield each
