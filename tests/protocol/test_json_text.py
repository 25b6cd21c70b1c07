"""Plain JSON by the encoder of the frames."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from protocol.errors import NotJson, NotUtf8, Unserialisable
from protocol.json_text import dumps, dumps_into, loads
from tests.protocol.strategies import values


@given(values)
def test_values_come_back(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(values)
def test_it_is_what_the_standard_library_reads_and_writes(value: Any) -> None:
    assert json.loads(dumps(value)) == value
    assert loads(json.dumps(value).encode()) == value


def test_order_and_size_are_kept() -> None:
    text = b'{"z":1180591620717411303424,"a":{"y":-1,"x":null}}'
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_becomes_null(value: float) -> None:
    assert dumps([value]) == b"[null]"


@pytest.mark.parametrize("value", [object(), {"a": object()}, "\ud800", {(1, 2): 3}])
def test_what_json_cannot_say_is_our_fault(value: Any) -> None:
    with pytest.raises(Unserialisable):
        dumps(value)
    with pytest.raises(Unserialisable):
        dumps_into(value, bytearray(8), 4)


def test_into_a_buffer_behind_what_is_there() -> None:
    buffer = bytearray(b"head and more")
    dumps_into([1], buffer, 4)
    assert buffer == b"head[1]"


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"nul", b"1 2", b"[" * 100_000, b"NaN"])
def test_what_is_not_json(text: bytes) -> None:
    with pytest.raises(NotJson):
        loads(text)


@pytest.mark.parametrize("text", [b'"\xff"', b"\xff", b'{"\xc3(":1}', b"[1]\x80"])
def test_what_is_not_utf_8(text: bytes) -> None:
    with pytest.raises(NotUtf8):
        loads(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "it is empty"),
        (b'{"x":"abc', "it ends too early"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark"),
        (b'{"x":NaN}', "NaN is no number in JSON (byte 5)"),
        (b'{"x":-Infinity}', "Infinity is no number in JSON (byte 6)"),
        (b'{"x":1e400}', "a number is too big for a float of 64 bits"),
        (b'{"x":' + b"1" * 4301 + b"}", "an integer has more than 4300 digits"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'["\\ud800"]', "\\ud800 is half of a surrogate pair (byte 2)"),
        (b'["\\\\\\uD800 and more text"]', "\\uD800 is half of a surrogate pair (byte 4)"),
        (b'["\\ud83d\\ude00\\ude00"]', "\\ude00 is half of a surrogate pair (byte 14)"),
        (b'["\\ud800\\ud83d\\ude00"]', "\\ud800 is half of a surrogate pair (byte 2)"),
        (b'["\\\\ud800', "it ends too early"),
        (b"[1}", "JSON is malformed: expected ',' or ']' (byte 2)"),
    ],
)
def test_it_is_said_why_it_is_not_json(text: bytes, reason: str) -> None:
    for payload in (text, bytearray(text), memoryview(text)):
        with pytest.raises(NotJson) as caught:
            loads(payload)
        assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("text", "place"), [(b'{"x":"ab\xff"}', 8), (b"\xff", 0), (b'{"\xed\xa0\x80":1}', 2)]
)
def test_the_place_that_is_not_utf_8_is_one_in_the_document(text: bytes, place: int) -> None:
    with pytest.raises(NotUtf8, match=f"^byte {place} is not UTF-8: "):
        loads(text)


def test_levels() -> None:
    assert loads(b'[{"a":[]},[],[]]', levels=3) == [{"a": []}, [], []]
    with pytest.raises(NotJson, match=r"^it is nested in more than 2 levels$"):
        loads(b'[{"a":[]},[],[]]', levels=2)
