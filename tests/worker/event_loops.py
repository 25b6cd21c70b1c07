"""The event loops that async models run on, and one set of names for models that run on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.worker.driver import Driver

__all__ = ["NAMES", "LoopWorker"]

_ANY = """
import contextvars, io, os, sys, threading, time
from coglet._sdk import current_scope
"""
_ASYNCIO = f"""{_ANY}
import asyncio
from asyncio import CancelledError as Cancelled, Event, sleep, to_thread
from asyncio import get_running_loop as this_loop
from contextlib import nullcontext as shielded
"""
_TRIO = f"""{_ANY}
import trio
from trio import Cancelled, Event, sleep
from trio.lowlevel import current_trio_token as this_loop
from trio.to_thread import run_sync as to_thread
def shielded():
    return trio.CancelScope(shield=True)
"""

NAMES = {"asyncio": _ASYNCIO, "uvloop": _ASYNCIO, "trio": _TRIO}
"""By `--event-loop`: what a model begins with to have the same names on each."""


class LoopWorker(Protocol):
    """As `driver.worker`, of a model that uses `NAMES`, on one of the loops."""

    def __call__(
        self,
        model: str,
        *,
        slots: int = 1,
        options: dict[str, object] | None = None,
        is_train: bool = False,
    ) -> AbstractContextManager[Driver]: ...
