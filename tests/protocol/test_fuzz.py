"""Whatever a peer sends, only the documented errors come out of a channel's decoder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import (
    FrameTooLarge,
    FrameTruncated,
    NotJson,
    NotUtf8,
    UnknownMessageType,
    WrongType,
)
from protocol.framing import FrameDecoder, encode_frame
from tests.protocol import strategies
from tests.protocol.golden import DECODERS, GOLDEN

DOCUMENTED = (FrameTooLarge, FrameTruncated, NotJson, NotUtf8, UnknownMessageType, WrongType)
decoders = st.sampled_from(list(DECODERS.values()))
goldens = st.sampled_from(GOLDEN)


def accepts(decode: Any, payload: bytes) -> bool:
    """Whether `payload` is a message; anything but a documented error escapes."""
    try:
        message = decode(payload)
    except DOCUMENTED:
        return False
    assert message is not None
    return True


@given(decoders, st.binary(max_size=100))
@example(codec.decode_control_request, b"")
@example(codec.decode_control_request, b"\xef\xbb\xbf{}")
@example(codec.decode_slot_response, b'{"type":"output_chunk","output":NaN}')
@example(codec.decode_slot_response, b'{"type":"output_chunk","output":1e999}')
@example(codec.decode_slot_response, b'{"type":"log_line","source":"stdout","data":"\\ud800"}')
@example(codec.decode_slot_response, b'{"type":"output_chunk","output":' + b"[" * 100_000)
@example(codec.decode_slot_response, b'{"type":"output_chunk","output":' + b'{"a":' * 100_000)
@example(
    codec.decode_slot_response, b'{"type":"done","id":"p","predict_time":' + b"9" * 5000 + b"}"
)
@example(codec.decode_slot_response, b'{"type":"log_line","type":"done","id":"a","predict_time":1}')
def test_random_bytes(decode: Any, payload: bytes) -> None:
    accepts(decode, payload)


@given(decoders, strategies.values)
def test_random_json(decode: Any, value: Any) -> None:
    accepted = accepts(decode, json.dumps(value).encode())
    assert not accepted or isinstance(value, dict)


@given(goldens, st.dictionaries(st.integers(0, 300), st.integers(1, 255), min_size=1, max_size=3))
def test_flipped_bits(golden: Any, flips: dict[int, int]) -> None:
    damaged = bytearray(golden.payload)
    for place, mask in flips.items():
        damaged[place % len(damaged)] ^= mask
    accepts(DECODERS[golden.sender, golden.channel], bytes(damaged))


@given(goldens, st.data())
def test_a_part_of_a_message_is_no_message(golden: Any, data: st.DataObject) -> None:
    part = golden.payload[: data.draw(st.integers(0, len(golden.payload) - 1))]
    assert not accepts(DECODERS[golden.sender, golden.channel], part)


@given(goldens, st.data())
def test_any_field_of_any_type(golden: Any, data: st.DataObject) -> None:
    fields = golden.fields
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(strategies.values)
    accepts(DECODERS[golden.sender, golden.channel], json.dumps(fields).encode())


@given(goldens, st.data())
def test_any_field_missing(golden: Any, data: st.DataObject) -> None:
    fields = golden.fields
    del fields[data.draw(st.sampled_from(sorted(fields)))]
    accepted = accepts(DECODERS[golden.sender, golden.channel], json.dumps(fields).encode())
    assert not accepted or "type" in fields


@given(st.lists(goldens, min_size=1, max_size=4), st.data())
def test_a_damaged_stream(chosen: list[Any], data: st.DataObject) -> None:
    """Bits flipped anywhere, lengths included, then cut anywhere, then fed in any pieces."""
    stream = bytearray(b"".join(golden.frame for golden in chosen))
    for _ in range(data.draw(st.integers(0, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] ^= data.draw(st.integers(1, 255))
    del stream[data.draw(st.integers(0, len(stream))) :]
    step = data.draw(st.integers(1, 80))
    decoder, read = FrameDecoder(), 0
    try:
        for start in range(0, len(stream), step):
            decoder.receive_data(bytes(stream[start : start + step]))
            for frame in iter(decoder.next_frame, None):
                read += 4 + len(frame)
                accepts(DECODERS[chosen[0].sender, chosen[0].channel], bytes(frame))
        decoder.receive_data(b"")
        assert decoder.next_frame() is None
    except (FrameTooLarge, FrameTruncated):
        assert decoder.frame_offset >= read
    assert read <= len(stream)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", NotJson),
        (b"hello", NotJson),
        (b'{"type":"idle","slot":"a"', NotJson),
        (b'{"type":"idle","slot":"a"}{}', NotJson),
        (b"{'type':'idle','slot':'a'}", NotJson),
        (b'{"type":"idle","slot":' + b"[" * 200_000, NotJson),
        (b'{"type":"idle","slot":"\xff"}', NotUtf8),
        (b'{"type":"idle","slot":"\xc3"}', NotUtf8),
        (b"\xff\xfe{}", NotUtf8),
        (b'{"type":"idle","slot":"a","x":"\xed\xa0\x80"}', NotUtf8),
        (b'{"type":"idle","slot":null}', WrongType),
        (b'{"type":"idle"}', WrongType),
        (b'{"type":"idling","slot":"a"}', UnknownMessageType),
    ],
)
def test_each_fault_has_its_error(payload: bytes, error: type[Exception]) -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(payload))
    frame = decoder.next_frame()
    assert frame is not None
    with pytest.raises(error):
        codec.decode_control_response(frame)


def test_a_fault_can_say_where_it_was() -> None:
    with pytest.raises(WrongType) as caught:
        codec.decode_control_response(b'{"type":"idle","slot":null}')
    error = caught.value.at("control channel", 17)
    assert error is caught.value
    assert str(error).startswith("control channel, frame at byte 17: idle")
