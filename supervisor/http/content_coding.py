"""`Content-Encoding` of a request: gzip and zstd, decoded bit by bit, no further than the limit.

A body of 100 kB can stand for 100 GB. So what comes out is counted while it comes, and whoever
sends such a thing has cost the limit and one piece.
"""

from __future__ import annotations

import io
import secrets
import zlib
from typing import Final

import zstandard

__all__ = ["CODINGS", "Corrupt", "TooLarge", "UnknownCoding", "coding_of", "decode"]

CODINGS: Final = ("gzip", "zstd")
"""What a body may be encoded with, as `Accept-Encoding` names it."""

PIECE: Final = 1024 * 1024
"""Bytes that are decoded at a time."""

SLICE: Final = 64 * 1024
"""Bytes of gzip that are looked at together: what a step leaves over is copied."""

MEMBERS_MAX: Final = 1000
"""Gzip files in a row that are taken for one, as `gzip -d` does. Empty ones cost the most time."""

_GZIP: Final = 16 + zlib.MAX_WBITS

WINDOW_MAX: Final = 8 * 1024 * 1024
"""Bytes that a zstd decoder may have to look back (RFC 9659: no more than that in HTTP)."""

# zstandard's readers do not say whether the last frame was whole. So a frame of ours follows
# the client's: only if everything before it was whole, it comes out at the end.
_LAST: Final = secrets.token_bytes(16)
_LAST_FRAME: Final = zstandard.ZstdCompressor(write_checksum=True).compress(_LAST)


class UnknownCoding(Exception):
    """The body is encoded in a way that is not known here, or more than once."""


class Corrupt(Exception):
    """The body is not what its `Content-Encoding` says. The text says why."""


class TooLarge(Exception):
    """More comes out than the limit allows."""


def coding_of(content_encoding: str | None) -> str | None:
    """Which one of `CODINGS` the body has; None: none.

    Raises:
        UnknownCoding: another one, or several.
    """
    names = [name.strip().lower() for name in (content_encoding or "").split(",")]
    codings = [name.removeprefix("x-") for name in names if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnknownCoding
    return codings[0]


def decode(body: bytes, coding: str, limit: int) -> bytes:
    """The content of `body`. Takes about a second for 100 MB: to be called in a thread.

    Args:
        body: as it was sent.
        coding: one of `CODINGS`.
        limit: bytes of the content.

    Raises:
        Corrupt: it is not in this coding, or it ends too early, or more follows.
        TooLarge: the content has more than `limit` bytes.
    """
    return _gunzip(body, limit) if coding == "gzip" else _unzstd(body, limit)


def _gunzip(body: bytes, limit: int) -> bytes:
    content = io.BytesIO()
    decoder = zlib.decompressobj(wbits=_GZIP)
    members = 1
    try:
        for start in range(0, len(body), SLICE):
            rest = body[start : start + SLICE]
            while rest:
                if decoder.eof:
                    decoder = zlib.decompressobj(wbits=_GZIP)
                    members += 1
                _write(decoder.decompress(rest, PIECE), content, limit)
                rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            if members > MEMBERS_MAX:
                raise Corrupt(f"it has more than {MEMBERS_MAX} members")
        while not decoder.eof and (piece := decoder.decompress(b"", PIECE)):
            _write(piece, content, limit)
    except zlib.error as error:
        reason = str(error).rpartition(": ")[2]
        after = " after its end" if members > 1 else ""
        raise Corrupt(f"{reason}{after}") from error
    if not decoder.eof:
        raise Corrupt("it ends too early")
    return content.getvalue()


def _unzstd(body: bytes, limit: int) -> bytes:
    content = io.BytesIO()
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX)
    source = io.BytesIO(body + _LAST_FRAME)
    try:
        with decompressor.stream_reader(source, read_across_frames=True) as reader:
            while piece := reader.read(PIECE):
                _write(piece, content, limit + len(_LAST))
    except zstandard.ZstdError as error:
        raise Corrupt(str(error).rpartition(": ")[2]) from error
    whole = content.getvalue()
    if not whole.endswith(_LAST):
        raise Corrupt("it ends too early")
    return whole[: -len(_LAST)]


def _write(piece: bytes, content: io.BytesIO, limit: int) -> None:
    content.write(piece)
    if content.tell() > limit:
        raise TooLarge
