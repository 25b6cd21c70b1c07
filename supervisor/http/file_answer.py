"""The result of a prediction as the client wants it: JSON, or the file itself that it put out.

`Accept: image/png` (`image/*`, `application/octet-stream`) gets the file, if the output is one.
Everybody else gets JSON, whatever they accept, as coglet answers it: a result that was worth a run
of the model is not withheld for a header.
"""

from __future__ import annotations

import binascii
import re
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, unquote_to_bytes

import trio
from attrs import frozen

from supervisor.http.preferences import accepted
from supervisor.http.values import JSON, Response, sized_json_response
from supervisor.interface import OFF_THE_LOOP, PredictionStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator

    from supervisor.http.values import Headers, Pieces, Request
    from supervisor.interface import PredictionView

__all__ = ["result_response"]

ANY_FILE: Final = "application/octet-stream"

PIECE: Final = 1024 * 1024
"""Characters of base64 that are decoded at a time; a multiple of 4."""

HEAD_MAX: Final = 1000
"""Characters of a data URL before its comma."""

_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)

_CHARSET: Final = re.compile(r"charset=[\w.:+-]{1,50}", re.ASCII | re.IGNORECASE)

# Without quotes and backslashes, which would have to be quoted themselves.
_UNSAFE: Final = re.compile(r"[^\w. ()+,=@~-]")

_FROM_A_MODEL: Final[Headers] = (
    # Whatever a model has written runs no scripts as a page of this server's.
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox"),
)


async def result_response(
    request: Request, view: PredictionView, headers: Headers = ()
) -> Response:
    """The answer to a synchronous request whose prediction has ended, `headers` included."""
    accept = request.headers.get("accept")
    if view.status is PredictionStatus.SUCCEEDED and _names_another(accept):
        as_json = accepted(accept, JSON)
        file = _file(view.output)
        chosen = None if file is None else _chosen(accept, file.media_type, as_json)
        if file is not None and chosen is not None and (size := await _size(file)) is not None:
            return _file_response(file, chosen, size, (*_id_header(view.id), *headers))
    return await sized_json_response(200, view.as_answer(), view.size, headers)


def _names_another(accept: str | None) -> bool:
    """Whether anything but JSON is asked for: nearly nobody does."""
    return accept is not None and accept not in ("*/*", JSON)


def _chosen(accept: str | None, media_type: str, as_json: float) -> str | None:
    """The type in which the file is answered; None: JSON is wanted more, or the file is not.

    A type that a client names is meant; `*/*` is what everybody sends.
    """
    essence = media_type.partition(";")[0]
    for candidate, sent in ((essence, media_type), (ANY_FILE, ANY_FILE)):
        quality = accepted(accept, candidate, by_name=True)
        if quality and quality >= as_json:
            return sent
    return None


# --- the file ---------------------------------------------------------------------------------


@frozen
class _File:
    """A file in a `data:` URL, still encoded."""

    media_type: str
    name: str | None
    url: str
    start: int
    """Where in `url` its content begins."""
    is_base64: bool

    def pieces(self) -> Iterator[bytes]:
        """The content, bit by bit.

        Raises:
            ValueError: it is not base64.
        """
        if not self.is_base64:
            yield unquote_to_bytes(self.url[self.start :])
            return
        for start in range(self.start, len(self.url), PIECE):
            yield binascii.a2b_base64(self.url[start : start + PIECE], strict_mode=True)


def _file(output: Any) -> _File | None:
    """The file that an output is; None: it is something else."""
    if not isinstance(output, str) or output[:5].lower() != "data:":
        return None
    comma = output.find(",", 5, 5 + HEAD_MAX)
    if comma < 0:
        return None
    media_type, *parameters = output[5:comma].split(";")
    is_base64 = bool(parameters) and parameters[-1].strip().lower() == "base64"
    media_type = media_type.strip().lower() or "text/plain"
    if not _TYPE.fullmatch(media_type):
        media_type = ANY_FILE
    name = None
    for parameter in parameters:
        if _CHARSET.fullmatch(parameter.strip()):
            media_type = f"{media_type}; {parameter.strip()}"
        elif parameter.strip().lower().startswith("name="):
            name = _UNSAFE.sub("_", unquote(parameter.strip()[5:]))[:200]
    return _File(media_type, name, output, comma + 1, is_base64)


async def _size(file: _File) -> int | None:
    """Bytes of its content; None: it has none, since it is not encoded as it says."""
    if len(file.url) < OFF_THE_LOOP:
        return _decoded_size(file)
    return await trio.to_thread.run_sync(_decoded_size, file)


def _decoded_size(file: _File) -> int | None:
    try:
        return sum(map(len, file.pieces()))
    except ValueError:
        return None


def _file_response(file: _File, content_type: str, size: int, headers: Headers) -> Response:
    headers = (
        *headers,
        ("content-disposition", _disposition(file.name)),
        *_FROM_A_MODEL,
    )
    if size <= PIECE:
        return Response(200, b"".join(file.pieces()), headers, content_type)
    headers = (*headers, ("content-length", str(size)))
    return Response(200, headers=headers, content_type=content_type, pieces=_sent(file))


def _disposition(name: str | None) -> str:
    if not name:
        return "inline"
    if name.isascii():
        return f'inline; filename="{name}"'
    return f"inline; filename*=UTF-8''{quote(name)}"


def _sent(file: _File) -> Pieces:
    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterable[bytes]]:
        async def pieces() -> AsyncGenerator[bytes]:
            for piece in file.pieces():
                yield piece

        async with aclosing(pieces()) as each:
            yield each

    return opened()


def _id_header(prediction_id: str) -> Headers:
    return (("x-prediction-id", prediction_id),)
