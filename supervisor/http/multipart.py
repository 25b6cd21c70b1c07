"""`multipart/form-data`: the fields of a form, as `curl -F` and browsers send them (RFC 7578)."""

from __future__ import annotations

import binascii
import io
import mimetypes
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Field,
    File,
    MultipartDecoder,
    NeedData,
    State,
)

from supervisor.form_inputs import FormField

if TYPE_CHECKING:
    from collections.abc import Iterator

    from werkzeug.datastructures import Headers
    from werkzeug.sansio.multipart import Event

__all__ = ["MULTIPART", "BadForm", "form_fields"]

MULTIPART: Final = "multipart/form-data"

PARTS_MAX: Final = 1000
"""Parts of one form."""

HEADER_MAX: Final = 8 * 1024
"""Bytes of a part's header, the names of the field and of its file included."""

NAME_MAX: Final = 200
"""Characters of a field's name, and of a file's."""

SLICE: Final = 64 * 1024
"""Bytes that the decoder gets at a time."""

_TYPE: Final = re.compile(r"[\w!#$&^.+-]{1,100}/[\w!#$&^.+-]{1,100}", re.ASCII)

_PLAIN_TRANSFER: Final = ("", "7bit", "8bit", "binary")


class BadForm(Exception):
    """The body is no form, or one beyond the limits. The text says where and why."""


def form_fields(body: bytes, content_type: str) -> list[FormField]:
    """The fields of a form in their order; each file as a `data:` URL.

    A file input that was left empty in a browser, without a name and without content, is left out.
    Takes about half a second for 100 MB: to be called in a thread if it is big.

    Args:
        body: the whole body.
        content_type: its header, which holds the boundary.

    Raises:
        BadForm: 400.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 70 or not boundary.isascii():
        raise BadForm("its content type has no `boundary` of 1 to 70 characters")
    fields: list[FormField] = []
    part: _Part | None = None
    for event in _events(body, boundary.encode()):
        match event:
            case Field() | File():
                if len(fields) == PARTS_MAX:
                    raise BadForm(f"it has more than {PARTS_MAX} parts")
                part = _Part(event, len(fields) + 1)
            case Data(data=data, more_data=more) if part is not None:
                part.add(data)
                if not more:
                    fields.append(part.field())
            case _:
                pass
    return [field for field in fields if field.value or not field.is_file]


def _events(body: bytes, boundary: bytes) -> Iterator[Event]:
    decoder = MultipartDecoder(boundary)
    end = len(body)
    for start in [*range(0, end, SLICE), end]:
        try:
            decoder.receive_data(body[start : start + SLICE] if start < end else None)
            event = decoder.next_event()
            while not isinstance(event, NeedData):
                yield event
                if isinstance(event, Epilogue):
                    return
                event = decoder.next_event()
        except UnicodeDecodeError as error:
            raise BadForm("the header of a part is not UTF-8") from error
        except ValueError as error:
            raise BadForm(_broken(decoder)) from error
        if decoder.state is State.PREAMBLE and len(decoder.buffer) > HEADER_MAX:
            raise BadForm("it does not begin with its boundary")
        if decoder.state is State.PART and len(decoder.buffer) > HEADER_MAX:
            raise BadForm(f"the header of a part is larger than {HEADER_MAX} bytes")


def _broken(decoder: MultipartDecoder) -> str:
    if not decoder.complete:
        return "a part has no header `Content-Disposition`"
    if decoder.state is State.PREAMBLE:
        return "its boundary does not occur in it"
    return "it ends without its last boundary"


class _Part:
    """A part on its way: text as it comes, a file as base64, three bytes in four characters."""

    def __init__(self, event: Field | File, number: int) -> None:
        headers = event.headers
        if sum(len(name) + len(value) for name, value in headers) > HEADER_MAX:
            raise BadForm(f"the header of part {number} is larger than {HEADER_MAX} bytes")
        if not event.name:
            raise BadForm(f"part {number} has no `name` in its `Content-Disposition`")
        self._name: str = event.name
        self._file_name = event.filename if isinstance(event, File) else None
        if max(len(self._name), len(self._file_name or "")) > NAME_MAX:
            raise BadForm(f"a name in part {number} is longer than {NAME_MAX} characters")
        if headers.get("content-transfer-encoding", "").lower() not in _PLAIN_TRANSFER:
            raise BadForm(f"part {number} has a `Content-Transfer-Encoding`; send it as it is")
        self._type = _media_type(headers)
        self._is_file = self._file_name is not None or not _is_text(self._type)
        self._size = 0
        self._written = io.BytesIO()
        self._rest = b""
        if self._is_file:
            self._written.write(self._head())

    def add(self, data: bytes) -> None:
        """More of its content."""
        self._size += len(data)
        if self._is_file:
            data = self._rest + data
            whole = len(data) - len(data) % 3
            data, self._rest = binascii.b2a_base64(data[:whole], newline=False), data[whole:]
        self._written.write(data)

    def field(self) -> FormField:
        """The whole part."""
        if self._is_file:
            if not self._size and not self._file_name:
                return FormField(self._name, "", is_file=True)
            self._written.write(binascii.b2a_base64(self._rest, newline=False))
            return FormField(self._name, self._written.getvalue().decode("ascii"), is_file=True)
        try:
            return FormField(self._name, self._written.getvalue().decode())
        except UnicodeDecodeError as error:
            reason = f"the text of `{self._name}` is not UTF-8; send a file, with a `filename`"
            raise BadForm(reason) from error

    def _head(self) -> bytes:
        media_type, name = self._type, self._file_name or ""
        if not media_type or media_type == "application/octet-stream":
            media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        # Browsers and curl say what the file is called here, some with its whole path.
        name = re.split(r"[/\\]", name)[-1]
        named = f";name={quote(name, safe='')}" if name.strip(".-") else ""
        return f"data:{media_type}{named};base64,".encode()


def _media_type(headers: Headers) -> str:
    """The type of a part without its parameters; "" if it has none, or none that is one."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type if _TYPE.fullmatch(media_type) else ""


def _is_text(media_type: str) -> bool:
    return not media_type or media_type.startswith("text/") or media_type == "application/json"
