"""What still runs on an asyncio loop when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from typing import Any, Final

__all__ = ["cancel_and_wait", "end_leftovers"]

_TIME_TO_END: Final = 1.0
"""Seconds that cancelled tasks have; what has not ended then is left as it is."""


def end_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel all tasks of a loop that does not run, and finish its asynchronous generators.

    Raises:
        SystemExit, KeyboardInterrupt: a task raised it.
    """
    cancel_and_wait(loop, asyncio.all_tasks(loop))
    loop.run_until_complete(loop.shutdown_asyncgens())


def cancel_and_wait(loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` of a loop that does not run, and give them a moment to end.

    Raises:
        SystemExit, KeyboardInterrupt: a task raised it.
    """
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_TIME_TO_END))
