"""Encoded bodies: whole, cut, damaged, and far bigger than they look."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from supervisor.http.content_coding import (
    MEMBERS_MAX,
    PIECE,
    SLICE,
    Corrupt,
    TooLarge,
    UnknownCoding,
    coding_of,
    decode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODERS = {"gzip": gzip.compress, "zstd": zstandard.compress}
NOISE = random.Random(1).randbytes(300)
LIMIT = 10 * PIECE

both = pytest.mark.parametrize(("coding", "encode"), ENCODERS.items())


@both
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", NOISE * 10, bytes(PIECE), bytes(3 * PIECE + 1), random.Random(2).randbytes(SLICE)],
    ids=len,
)
def test_what_was_encoded_comes_out(
    coding: str, encode: Callable[[bytes], bytes], content: bytes
) -> None:
    assert decode(encode(content), coding, LIMIT) == content


@both
def test_several_in_a_row_are_one(coding: str, encode: Callable[[bytes], bytes]) -> None:
    assert decode(encode(b"a") + encode(b"") + encode(b"b"), coding, LIMIT) == b"ab"


@both
def test_every_end_that_is_too_early_is_found(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    whole = encode(NOISE + bytes(500_000) + NOISE)
    for cut in range(1, len(whole)):
        with pytest.raises(Corrupt):
            decode(whole[:cut], coding, LIMIT)


def test_an_early_end_between_two_blocks_is_said_to_be_one() -> None:
    compressor = zstandard.ZstdCompressor().compressobj()
    block = compressor.compress(NOISE) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    with pytest.raises(Corrupt):
        decode(block, "zstd", LIMIT)
    with pytest.raises(Corrupt, match=r"^it ends too early$"):
        decode(gzip.compress(NOISE)[:-1], "gzip", LIMIT)


@both
@pytest.mark.parametrize("after", [b"garbage", b"{}", b"\0" * 8])
def test_what_follows_the_end_is_refused(
    coding: str, encode: Callable[[bytes], bytes], after: bytes
) -> None:
    with pytest.raises(Corrupt):
        decode(encode(b"{}") + after, coding, LIMIT)


@both
def test_what_is_something_else_is_refused(coding: str, encode: Callable[[bytes], bytes]) -> None:
    for other in (b"{}", b"x", *(other(b"{}") for other in ENCODERS.values() if other != encode)):
        with pytest.raises(Corrupt):
            decode(other, coding, LIMIT)


def test_damage_is_found() -> None:
    whole = bytearray(gzip.compress(NOISE))
    whole[50] ^= 1
    with pytest.raises(Corrupt, match=r"incorrect data check|invalid"):
        decode(bytes(whole), "gzip", LIMIT)


@both
def test_the_limit_is_exact(coding: str, encode: Callable[[bytes], bytes]) -> None:
    content = NOISE + bytes(2 * PIECE)
    assert decode(encode(content), coding, len(content)) == content
    with pytest.raises(TooLarge):
        decode(encode(content), coding, len(content) - 1)


@both
def test_a_bomb_costs_the_limit_and_one_piece(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    bomb = encode(bytes(100 * PIECE))
    assert len(bomb) < PIECE
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decode(bomb, coding, 8 * PIECE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * PIECE


def test_a_window_beyond_what_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    far = compressor.compress(NOISE) + compressor.flush()
    with pytest.raises(Corrupt, match="requires too much memory"):
        decode(far, "zstd", LIMIT)


def test_a_crowd_of_empty_members_is_refused() -> None:
    empty = gzip.compress(b"")
    assert decode(empty * MEMBERS_MAX, "gzip", LIMIT) == b""
    with pytest.raises(Corrupt, match="members"):
        decode(empty * (MEMBERS_MAX + 1), "gzip", LIMIT)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, None),
        ("", None),
        (" , identity,", None),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("identity , zstd", "zstd"),
    ],
)
def test_the_header(header: str | None, coding: str | None) -> None:
    assert coding_of(header) == coding


@pytest.mark.parametrize("header", ["br", "gzip, gzip", "gzip, zstd", "x-zstd2"])
def test_unknown_codings(header: str) -> None:
    with pytest.raises(UnknownCoding):
        coding_of(header)
