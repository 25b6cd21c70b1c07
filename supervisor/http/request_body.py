"""The body of a request for a prediction: from bytes to a value whose shape is right.

JSON, or a form, in plain or encoded. Strict where coglet is (`spec/http-api.md`, "Bad requests"),
and with a JSON answer for every mistake. An error names the field and the place, and repeats
nothing of what the client sent but the beginning of an input that is no object.
"""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import trio

from protocol.errors import NotJson, NotUtf8
from protocol.json_text import loads
from protocol.limits import LEVELS_MAX
from supervisor.http.content_coding import (
    CODINGS,
    Corrupt,
    TooLarge,
    UnknownCoding,
    coding_of,
    decode,
)
from supervisor.http.errors import detail_response, invalid_response, too_large_response
from supervisor.http.multipart import MULTIPART, BadForm, form_fields
from supervisor.http.preferences import is_json, media_type
from supervisor.http.value_count import VALUES_MAX, has_too_many_values
from supervisor.interface import OFF_THE_LOOP, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.form_inputs import FormField
    from supervisor.http.values import Request, Response
    from supervisor.interface import Service

__all__ = ["BadRequest", "PredictionBody", "read_body"]


class BadRequest(Exception):
    """The request cannot be understood; the response says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class _Said(msgspec.Struct, frozen=True):
    """What a client may say of a prediction in JSON. Unknown keys are ignored, as in coglet."""

    id: str | None = None
    input: Any = None
    """An object: the rest has been refused."""
    context: dict[str, str] = {}
    webhook: str | None = None
    webhook_events_filter: list[Literal["start", "output", "logs", "completed"]] = msgspec.field(
        default_factory=lambda: ["start", "output", "logs", "completed"]
    )
    output_file_prefix: str | None = None


class PredictionBody(_Said, frozen=True):
    """What a client has said of a prediction."""

    size: int = 0
    """Bytes that it has as JSON, roughly."""


SHOWN_MAX: Final = 100
"""Characters that an error repeats of an input that is no object."""

_lazy_encoder: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_raw_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def read_body(
    request: Request, service: Service, *, is_training: bool = False
) -> PredictionBody:
    """Understand the body of `request`; big ones in a thread. No body at all means `{}`.

    Args:
        request: the request, its body as it was sent.
        service: knows what a form's texts mean to the model.
        is_training: whether they are the inputs of a training.

    Raises:
        BadRequest: 400 not JSON or no form, 413 too large once it is decoded, 415 another content
            type or coding, 422 JSON of the wrong shape.
    """
    content_type = request.headers.get("content-type")
    if content_type is None and not request.body:
        return PredictionBody(input={})
    # Without a content type coglet ignores a body; it is JSON in all likelihood.
    is_form = content_type is not None and media_type(content_type) == MULTIPART
    if content_type is not None and not is_form and not is_json(content_type):
        detail = f"Expected request with `Content-Type: application/json`, or `{MULTIPART}`"
        raise BadRequest(detail_response(415, detail))
    coding = _coding(request)
    read_form = partial(service.form_input, is_training=is_training) if is_form else None
    if coding is None and len(request.body) < OFF_THE_LOOP:
        return _understood(request, coding, read_form)
    return await trio.to_thread.run_sync(_understood, request, coding, read_form)


def _coding(request: Request) -> str | None:
    try:
        coding = coding_of(request.headers.get("content-encoding"))
    except UnknownCoding as error:
        accepted = ", ".join(CODINGS)
        detail = f"The request's body may have one `Content-Encoding`, of: {accepted}"
        headers = (("accept-encoding", accepted),)
        raise BadRequest(detail_response(415, detail, headers)) from error
    return coding if request.body else None


def _understood(
    request: Request, coding: str | None, read_form: Callable[[list[FormField]], Any] | None
) -> PredictionBody:
    data = request.body if coding is None else _decoded(request, coding)
    if read_form is None:
        return _parse(data)
    try:
        fields = form_fields(data, request.headers["content-type"])
    except BadForm as error:
        detail = f"Failed to parse the request body as {MULTIPART}: {error}"
        raise BadRequest(detail_response(400, detail)) from error
    return _with_object(_Said(input=read_form(fields)), len(data))


def _decoded(request: Request, coding: str) -> bytes:
    try:
        return decode(request.body, coding, request.max_body)
    except Corrupt as error:
        detail = f"Failed to decode the request body as {coding}: {error}"
        raise BadRequest(detail_response(400, detail)) from error
    except TooLarge as error:
        raise BadRequest(too_large_response(request.max_body)) from error


def _parse(data: bytes) -> PredictionBody:
    if has_too_many_values(data):
        detail = f"the body has more than {VALUES_MAX:,} values: send so many as a file, by its URL"
        raise BadRequest(detail_response(413, detail))
    try:
        # First all of it: a typed decoder skips unknown fields without a look at their UTF-8.
        said = msgspec.convert(loads(data, levels=LEVELS_MAX), _Said)
    except (NotJson, NotUtf8) as error:
        detail = f"Failed to parse the request body as JSON: {error}"
        raise BadRequest(detail_response(400, detail)) from error
    except msgspec.ValidationError as error:
        raise BadRequest(_wrong_shape(str(error))) from error
    repeated = _repeated_key(data)
    if repeated is not None:
        raise BadRequest(_wrong_shape(f"duplicate field `{repeated[:100]}`"))
    return _with_object(said, len(data))


def _with_object(said: _Said, size: int) -> PredictionBody:
    if said.input is not None and not isinstance(said.input, dict):
        raise BadRequest(invalid_response([_not_an_object(said.input)]))
    body = PredictionBody(**msgspec.structs.asdict(said), size=size)
    return body if body.input is not None else msgspec.structs.replace(body, input={})


def _wrong_shape(what: str) -> Response:
    what = re.sub(r"^Invalid enum value '.*'", "Invalid enum value", what, flags=re.DOTALL)
    what = re.sub(r" - at `\$\.?(.*)`\Z", r" at \1", what)
    return detail_response(422, f"Failed to deserialize the JSON body into the target type: {what}")


def _not_an_object(value: Any) -> InputError:
    shown = _beginning(value)
    return InputError(("body", "input", "__root__"), f'{shown} is not of type "object"')


def _beginning(value: Any) -> str:
    """What coglet shows of it, which is all; the rest of a big one is not even written."""
    shown = ""
    value = value[: SHOWN_MAX + 1] if isinstance(value, str | list) else value
    for piece in _lazy_encoder.iterencode(value):
        shown += piece
        if len(shown) > SHOWN_MAX:
            return f"{shown[:SHOWN_MAX]} …"
    return shown


# --- duplicate keys ---------------------------------------------------------------------------

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')


def _repeated_key(data: bytes) -> str | None:
    """A key that stands more than once at the top level of `data`, a valid JSON object.

    The decoder keeps the last value of each key. Walking along the text, the value of each key
    is skipped by its length; the first place where another text stands than the decoder kept
    is an earlier value of the same key.
    """
    values = _raw_decoder.decode(data)
    seen: set[str] = set()
    position = _after_space(data, _after_space(data, 0) + 1)
    while data[position : position + 1] == b'"':
        string = _STRING.match(data, position)
        assert string is not None  # noqa: S101 - the document has been parsed
        key: str = loads(string[0])
        value = memoryview(values[key])
        position = _after_space(data, _after_space(data, string.end()) + 1)
        end = position + len(value)
        if key in seen or memoryview(data)[position:end] != value:
            return key
        seen.add(key)
        position = _after_space(data, end)
        if data[position : position + 1] == b",":
            position = _after_space(data, position + 1)
        elif data[position : position + 1] != b"}":
            return key  # a number whose first digits are those of the last value: 12, then 1
    return None


def _after_space(data: bytes, position: int) -> int:
    space = _SPACE.match(data, position)
    return position if space is None else space.end()
