"""What comes of something awaited on an asyncio loop, as a value."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from worker.engines.interface import TookTooLong
from worker.forked import exit_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable

    Outcome = tuple[Any, BaseException | None]

__all__ = ["outcome_of", "result_of"]


async def outcome_of(awaitable: Awaitable[Any], limit: float | None = None) -> Outcome:
    """The result of `awaitable` or what it has raised: `SystemExit` in a task would stop the loop.

    It is cancelled after `limit` seconds; if it ends by that, `TookTooLong` is what it has raised.
    No forked child leaves this.
    """
    timer = asyncio.timeout(limit)
    try:
        async with timer:
            result = await awaitable
    except BaseException as error:
        exit_in_child(error)
        is_over = timer.expired() and isinstance(error, TimeoutError)
        return None, TookTooLong() if is_over else error
    exit_in_child()
    return result, None


def result_of(outcome: Outcome) -> Any:
    """The result. Raises what was raised in its place."""
    result, error = outcome
    if error is not None:
        raise error
    return result
