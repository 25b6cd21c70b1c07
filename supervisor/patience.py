"""Waiting for a worker whose answer may lie there unread, because we ourselves did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["patiently"]

T = TypeVar("T")

_PARTS: Final = 4


async def patiently(seconds: float, wait: Callable[[], Awaitable[T]]) -> T:
    """What `wait` returns, within `seconds`. It is called anew for each of a few parts of them.

    A supervisor that stood still (a machine that was too busy, or suspended) finds at once that
    time is up and that there is much to read. That costs one part: in the others it reads.

    Raises:
        trio.TooSlowError: it did not return in time.
    """
    for _ in range(_PARTS):
        with trio.move_on_after(seconds / _PARTS):
            return await wait()
    raise trio.TooSlowError
