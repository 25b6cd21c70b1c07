"""The frame decoder: any chunks in, the same payloads out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import FrameTooLarge, FrameTruncated, MessageTooLarge
from protocol.framing import FrameDecoder, encode_frame
from protocol.limits import FRAME_MAX


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def drained(decoder: FrameDecoder) -> list[bytes]:
    return [bytes(frame) for frame in iter(decoder.next_frame, None)]


payload_lists = st.lists(st.binary(max_size=60), max_size=6)
places = st.lists(st.integers(0, 400), max_size=30)


@given(payload_lists, places)
def test_any_split_gives_the_same_frames(payloads: list[bytes], places: list[int]) -> None:
    decoder, found = FrameDecoder(), []
    for chunk in cut(b"".join(map(encode_frame, payloads)), places):
        decoder.receive_data(chunk)
        found += drained(decoder)
    decoder.receive_data(b"")
    assert found + drained(decoder) == payloads


@given(payload_lists, places)
def test_frames_may_be_asked_for_late(payloads: list[bytes], places: list[int]) -> None:
    decoder = FrameDecoder()
    for chunk in cut(b"".join(map(encode_frame, payloads)), places):
        decoder.receive_data(chunk)
    assert drained(decoder) == payloads


@given(payload_lists, places)
def test_the_offset_is_where_each_frame_begins(payloads: list[bytes], places: list[int]) -> None:
    decoder, offsets = FrameDecoder(), []
    for chunk in cut(b"".join(map(encode_frame, payloads)), places):
        decoder.receive_data(chunk)
        while decoder.next_frame() is not None:
            offsets.append(decoder.frame_offset)
    sizes = [4 + len(payload) for payload in payloads]
    assert offsets == [sum(sizes[:index]) for index in range(len(sizes))]


@given(st.binary(min_size=1, max_size=40), st.data())
def test_an_end_inside_a_frame_is_truncation(payload: bytes, data: st.DataObject) -> None:
    whole = encode_frame(b"before")
    frame = encode_frame(payload)
    decoder = FrameDecoder()
    decoder.receive_data(whole + frame[: data.draw(st.integers(1, len(frame) - 1))])
    decoder.receive_data(b"")
    assert decoder.next_frame() == b"before"
    with pytest.raises(FrameTruncated):
        decoder.next_frame()
    assert decoder.frame_offset == len(whole)


def test_an_end_between_frames_is_no_error() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(encode_frame(b"{}"))
    decoder.receive_data(b"")
    assert decoder.next_frame() == b"{}"
    assert decoder.next_frame() is None


def test_a_header_above_the_limit_is_refused_before_its_body_comes() -> None:
    decoder = FrameDecoder()
    decoder.receive_data((FRAME_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(FrameTooLarge, match=str(FRAME_MAX + 1)):
        decoder.next_frame()


def test_a_broken_stream_stays_broken() -> None:
    decoder = FrameDecoder()
    decoder.receive_data(b"\xff\xff\xff\xff")
    with pytest.raises(FrameTooLarge) as first:
        decoder.next_frame()
    decoder.receive_data(encode_frame(b"{}"))
    with pytest.raises(FrameTooLarge) as second:
        decoder.next_frame()
    assert second.value is first.value


def test_a_frame_as_large_as_the_limit_passes() -> None:
    payload = bytes(FRAME_MAX)
    frame = encode_frame(payload)
    decoder = FrameDecoder()
    for start in range(0, len(frame), 1_000_000):
        assert decoder.next_frame() is None
        decoder.receive_data(frame[start : start + 1_000_000])
    assert decoder.next_frame() == payload


def test_one_byte_more_is_not_sent() -> None:
    with pytest.raises(MessageTooLarge, match=str(FRAME_MAX + 1)):
        encode_frame(bytes(FRAME_MAX + 1))


def test_a_frame_that_lies_whole_in_a_chunk_is_not_copied() -> None:
    chunk = bytes(encode_frame(b"first") + encode_frame(b"second"))
    decoder = FrameDecoder()
    decoder.receive_data(chunk)
    first, second = decoder.next_frame(), decoder.next_frame()
    assert first is not None
    assert second is not None
    assert first.obj is chunk
    assert second.obj is chunk
    assert (first, second) == (b"first", b"second")


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_random_bytes_give_frames_or_a_documented_error(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(limit=1000)
    taken = 0
    try:
        for chunk in chunks:
            if chunk:
                decoder.receive_data(chunk)
            taken += sum(4 + len(frame) for frame in drained(decoder))
        decoder.receive_data(b"")
        taken += sum(4 + len(frame) for frame in drained(decoder))
    except (FrameTooLarge, FrameTruncated):
        assert decoder.frame_offset >= taken
    else:
        assert taken == sum(map(len, chunks))
