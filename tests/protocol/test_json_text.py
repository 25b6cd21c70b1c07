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
