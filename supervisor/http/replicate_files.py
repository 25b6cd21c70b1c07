"""`POST /v1/files`: where Replicate's clients send a file that is an input, before the prediction.

Nothing is kept here. The file comes back as a `data:` URL, which the client then names as the
input: no store that has to be bounded, and no way for the worker back into this server, whose
token and certificate it does not know.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import trio

from supervisor.http.errors import detail_response
from supervisor.http.multipart import MULTIPART, BadForm, form_fields
from supervisor.http.preferences import media_type
from supervisor.http.values import Response, json_response
from supervisor.interface import OFF_THE_LOOP

if TYPE_CHECKING:
    from supervisor.http.values import Request

__all__ = ["take_file"]

FIELD: Final = "content"
"""The field of the form that has the file."""

PIECE: Final = 1024 * 1024
"""Characters of base64 that are decoded at a time; a multiple of 4."""

_HEAD: Final = re.compile(r"data:([^;,]+)(?:;name=([^;,]*))?;base64,")


async def take_file(request: Request) -> Response:
    """The file of a form, as a `data:` URL in Replicate's words; big ones in a thread."""
    if media_type(request.headers.get("content-type", "")) != MULTIPART:
        return detail_response(415, f"Expected request with `Content-Type: {MULTIPART}`")
    if len(request.body) < OFF_THE_LOOP:
        return _taken(request)
    return await trio.to_thread.run_sync(_taken, request)


def _taken(request: Request) -> Response:
    try:
        fields = form_fields(request.body, request.headers["content-type"])
    except BadForm as error:
        detail = f"Failed to parse the request body as {MULTIPART}: {error}"
        return detail_response(400, detail)
    for field in fields:
        head = _HEAD.match(field.value) if field.is_file and field.name == FIELD else None
        if head is not None:
            name = unquote(head[2] or "") or "file"
            return json_response(201, _file(field.value, head.end(), name, head[1]))
    return detail_response(422, f"The form has no file in its field `{FIELD}`")


def _file(url: str, start: int, name: str, content_type: str) -> dict[str, Any]:
    size, digest = 0, hashlib.sha256()
    for place in range(start, len(url), PIECE):
        piece = binascii.a2b_base64(url[place : place + PIECE])
        size += len(piece)
        digest.update(piece)
    return {
        "id": digest.hexdigest()[:32],
        "name": name,
        "content_type": content_type,
        "size": size,
        "etag": digest.hexdigest(),
        "checksums": {"sha256": digest.hexdigest()},
        "metadata": {},
        "created_at": datetime.now(UTC).isoformat(),
        "expires_at": None,
        "urls": {"get": url},
    }
