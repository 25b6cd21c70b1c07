"""Waiting for a worker whose answer may lie there unread, because we ourselves did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["in_parts"]

_PARTS: Final = 4


def in_parts(seconds: float) -> Iterator[trio.CancelScope]:
    """Scopes to wait in, one after the other, of `seconds` together.

    A supervisor that stood still (a machine that was too busy, or suspended) finds at once that
    time is up and that there is much to read. That costs one part: in the others it reads.
    """
    for _ in range(_PARTS):
        yield trio.move_on_after(seconds / _PARTS)
