"""Plain JSON: values to bytes and back, by the encoder that the frames use too."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from protocol.errors import NotJson, NotUtf8, Unserialisable

__all__ = ["Payload", "dumps", "dumps_into", "loads"]

Payload: TypeAlias = bytes | bytearray | memoryview

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def dumps(value: Any) -> bytes:
    """JSON of `value`, compact; the order of keys and the size of integers are kept.

    NaN and infinities become null: whoever minds has to look first.

    Raises:
        Unserialisable: it holds something that JSON cannot say.
    """
    try:
        return _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unserialisable(str(error)) from error


def dumps_into(value: Any, buffer: bytearray, offset: int) -> None:
    """As `dumps`, but to the end of `buffer`, whose first `offset` bytes stay as they are."""
    try:
        _encoder.encode_into(value, buffer, offset)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Unserialisable(str(error)) from error


def loads(data: Payload) -> Any:
    """The value of a JSON document; the order of keys and the size of integers are kept.

    Raises:
        NotUtf8: it holds bytes that are not UTF-8.
        NotJson: it is not one JSON document, or one nested too deeply.
    """
    try:
        return _decoder.decode(data)
    except UnicodeDecodeError as error:
        raise NotUtf8(str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        _check_utf8(data)
        raise NotJson(str(error)) from error


def _check_utf8(data: Payload) -> None:
    """Outside of strings the decoder calls every stray byte malformed JSON: be more precise."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8(str(error)) from error
