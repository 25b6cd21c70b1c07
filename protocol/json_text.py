"""Plain JSON: values to bytes and back, by the encoder that the frames use too."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec

from protocol.errors import NotJson, NotUtf8, Unserialisable

__all__ = [
    "DIGITS_MAX",
    "INT_MAX",
    "INT_MIN",
    "TOO_LONG",
    "Payload",
    "dumps",
    "dumps_into",
    "loads",
]

Payload: TypeAlias = bytes | bytearray | memoryview

DIGITS_MAX: Final = 4300
"""Characters of the longest integer that is read; Python's own `int` takes as many digits."""

INT_MAX: Final = 10**DIGITS_MAX - 1
INT_MIN: Final = 1 - 10 ** (DIGITS_MAX - 1)
"""What is read again when it was written: a sign counts as a digit. What lies beyond is not always
refused when it is written: that is as the interpreter is set."""

TOO_LONG: Final = f"an integer has more than {DIGITS_MAX} digits"

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


def loads(data: Payload, *, levels: int | None = None) -> Any:
    """The value of a JSON document; the order of keys and the size of integers are kept.

    Args:
        data: the document.
        levels: how many arrays and objects may lie in each other; None: hundreds.

    Raises:
        NotUtf8: it holds bytes that are not UTF-8.
        NotJson: it is not one JSON document, or one nested too deeply.
    """
    try:
        value = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The decoder counts from the string's beginning, or calls a stray byte malformed JSON.
        _check_utf8(data)
        raise NotJson(_reason(data, error)) from error
    if levels is not None and _is_deeper(data, value, levels):
        raise NotJson(f"it is nested in more than {levels} levels")
    return value


def _is_deeper(data: Payload, value: Any, levels: int) -> bool:
    data = bytes(data)
    if data.count(b"[") + data.count(b"{") <= levels:
        return False
    containers = [value]
    for _ in range(levels):
        containers = [
            inner
            for outer in containers
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not containers:
            return False
    return True


# --- why it is not JSON -----------------------------------------------------------------------

_PLACE: Final = re.compile(r"\(byte (\d+)\)\Z")

_NO_NUMBER: Final = re.compile(rb"NaN|Infinity")

_ESCAPE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\.",
    re.DOTALL,
)
"""Two surrogates that belong together, one that stands alone (the group), any other escape."""


def _check_utf8(data: Payload) -> None:
    try:
        str(data, "utf-8")
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8: {error.reason}"
        raise NotUtf8(reason) from error


def _reason(data: Payload, error: Exception) -> str:
    """What is wrong with `data`, where the decoder's own words would mislead; never a value."""
    words = str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if words.startswith("Integer value out of range"):
        return TOO_LONG
    if words.startswith("Number out of range"):
        return "a number is too big for a float of 64 bits"
    if not data:
        return "it is empty"
    if bytes(data[:3]) == b"\xef\xbb\xbf":
        return "it begins with a byte order mark"
    # Close to the end, the half of a pair is taken for the end.
    if "surrogate" in words or "truncated" in words:
        for escape in _ESCAPE.finditer(data):
            if escape[1] is not None:
                half = bytes(escape[1]).decode()
                return f"{half} is half of a surrogate pair (byte {escape.start()})"
    place = _PLACE.search(words)
    if place is not None and (number := _NO_NUMBER.match(data, int(place[1]))) is not None:
        return f"{bytes(number[0]).decode()} is no number in JSON (byte {place[1]})"
    return "it ends too early" if "truncated" in words else words
