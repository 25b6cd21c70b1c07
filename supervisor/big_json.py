"""JSON of documents of any size: a big one in a thread, and there step by step.

The encoder lets nobody else run, in whichever thread it is called: so not for all in one go.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from protocol.json_text import dumps
from supervisor.interface import OFF_THE_LOOP

__all__ = ["encode", "encode_off_loop", "encoders"]

_AT_ONCE: Final = 2

_encoders: Final = trio.lowlevel.RunVar[trio.CapacityLimiter]("encoders")

_STEP: Final = 256 * 1024
"""Bytes, roughly, after which others may run: less than a millisecond."""

_FEW: Final = 16
"""Items or names of a container up to which each may be a big one."""

_LEVELS: Final = 4
"""Containers in each other that are looked into: a document, its output, and what that holds."""


async def encode_off_loop(value: Any, size: int) -> bytes | bytearray:
    """As `encode`; a big value in a thread, so it must not change meanwhile."""
    if size < OFF_THE_LOOP:
        return dumps(value)
    return await trio.to_thread.run_sync(encode, value, size, limiter=encoders())


def encoders() -> trio.CapacityLimiter:
    """Threads that write JSON: few, for all of them and the event loop take turns to run."""
    try:
        return _encoders.get()
    except LookupError:
        _encoders.set(limiter := trio.CapacityLimiter(_AT_ONCE))
        return limiter


def encode(value: Any, size: int) -> bytes | bytearray:
    """The JSON of `value`, which other threads survive whatever its size.

    Args:
        value: of what `protocol.json_text` reads.
        size: bytes of JSON that it has, roughly.

    Raises:
        Unserialisable: it holds something that JSON cannot say.
    """
    if size < OFF_THE_LOOP:
        return dumps(value)
    buffer = bytearray()
    _add(value, buffer, _LEVELS)
    return buffer


def _add(value: Any, buffer: bytearray, levels: int) -> None:
    if isinstance(value, str) and len(value) > _STEP:
        _add_text(value, buffer)
    elif isinstance(value, dict) and levels and value:
        mark = b"{"
        for name, item in value.items():
            buffer += mark + dumps(name) + b":"
            _add(item, buffer, levels - 1)
            mark = b","
        buffer += b"}"
    elif isinstance(value, list) and levels and value:
        _add_list(value, buffer, levels)
    else:
        buffer += dumps(value)


def _add_text(text: str, buffer: bytearray) -> None:
    buffer += b'"'
    for start in range(0, len(text), _STEP):
        buffer += memoryview(dumps(text[start : start + _STEP]))[1:-1]
    buffer += b'"'


def _add_list(items: list[Any], buffer: bytearray, levels: int) -> None:
    """Few items one by one, of many as many together as make a step."""
    mark = b"["
    count, start = 1, 0
    while start < len(items):
        buffer += mark
        mark = b","
        before = len(buffer)
        if count == 1:
            _add(items[start], buffer, levels - 1 if len(items) <= _FEW else 0)
        else:
            buffer += memoryview(dumps(items[start : start + count]))[1:-1]
        start += count
        if len(items) > _FEW:
            growth = max(len(buffer) - before, 1)
            # Not many times as many at once: those that follow may be bigger.
            count = max(1, min(count * 2, count * _STEP // growth))
    buffer += b"]"
