"""The body of a request for a prediction: from bytes to a value whose shape is right.

Strict where coglet is (`spec/http-api.md`, "Bad requests"), and with a JSON answer for every
mistake. An error names the field and the place, and does not repeat what the client sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import trio

from protocol.errors import NotJson, NotUtf8
from protocol.json_text import dumps, loads
from supervisor.http.errors import detail_response, invalid_response
from supervisor.http.preferences import is_json
from supervisor.interface import InputError

if TYPE_CHECKING:
    from supervisor.http.values import Request, Response

__all__ = ["OFF_THE_LOOP", "BadRequest", "PredictionBody", "read_body"]

OFF_THE_LOOP: Final = 256 * 1024
"""Bytes from which a body is parsed in a thread."""


class BadRequest(Exception):
    """The request cannot be understood; the response says why."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class PredictionBody(msgspec.Struct, frozen=True):
    """What a client may say of a prediction. Unknown keys are ignored, as in coglet."""

    id: str | None = None
    input: Any = None
    """An object: the rest has been refused."""
    context: dict[str, str] = {}
    webhook: str | None = None
    webhook_events_filter: list[Literal["start", "output", "logs", "completed"]] = msgspec.field(
        default_factory=lambda: ["start", "output", "logs", "completed"]
    )
    output_file_prefix: str | None = None


_raw_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def read_body(request: Request) -> PredictionBody:
    """Parse the body of `request`; big ones in a thread. No body at all means `{}`.

    Raises:
        BadRequest: 400 not JSON, 415 another content type, 422 JSON of the wrong shape.
    """
    content_type = request.headers.get("content-type")
    if content_type is None and not request.body:
        return PredictionBody(input={})
    # Without a content type coglet ignores a body; it is JSON in all likelihood.
    if content_type is not None and not is_json(content_type):
        detail = "Expected request with `Content-Type: application/json`"
        raise BadRequest(detail_response(415, detail))
    if len(request.body) < OFF_THE_LOOP:
        return _parse(request.body)
    return await trio.to_thread.run_sync(_parse, request.body)


def _parse(data: bytes) -> PredictionBody:
    try:
        # First all of it: a typed decoder skips unknown fields without a look at their UTF-8.
        body = msgspec.convert(loads(data), PredictionBody)
    except (NotJson, NotUtf8) as error:
        detail = f"Failed to parse the request body as JSON: {_reason(data, error)}"
        raise BadRequest(detail_response(400, detail)) from error
    except msgspec.ValidationError as error:
        raise BadRequest(_wrong_shape(str(error))) from error
    repeated = _repeated_key(data)
    if repeated is not None:
        raise BadRequest(_wrong_shape(f"duplicate field `{repeated[:100]}`"))
    if body.input is None:
        return msgspec.structs.replace(body, input={})
    if not isinstance(body.input, dict):
        raise BadRequest(invalid_response([_not_an_object(body.input)]))
    return body


def _reason(data: bytes, error: NotJson | NotUtf8) -> str:
    if not data:
        return "it is empty"
    if isinstance(error.__cause__, RecursionError):
        return "it is nested too deeply"
    return str(error)


def _wrong_shape(what: str) -> Response:
    what = re.sub(r" - at `\$\.?(.*)`\Z", r" at \1", what)
    return detail_response(422, f"Failed to deserialize the JSON body into the target type: {what}")


def _not_an_object(value: Any) -> InputError:
    shown = dumps(value).decode()
    if len(shown) > 100:
        shown = f"{shown[:100]} …"
    return InputError(("body", "input", "__root__"), f'{shown} is not of type "object"')


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
