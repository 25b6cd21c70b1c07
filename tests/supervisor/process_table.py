"""What the tests of real processes ask the kernel for."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager, suppress
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import trio

from supervisor.config import Config, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 60.0
"""Seconds after which a test gives up; nothing that passes comes near it."""

LONG = 1000.0
"""Seconds of a grace that must be cut short."""


def stat_of(pid: int) -> list[str] | None:
    """State, parent, group, session ... of a process; None if there is none."""
    with suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(") ")[2].split()
    return None


def exists(pid: int) -> bool:
    """Whether there is such a process, even if only as a zombie."""
    return stat_of(pid) is not None


def runs(pid: int) -> bool:
    """Whether there is such a process, and no zombie."""
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def children() -> set[int]:
    """The pids of this process's children, zombies too."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    stats = {pid: stat_of(pid) for pid in pids}
    return {pid for pid, stat in stats.items() if stat and int(stat[1]) == os.getpid()}


def descriptors() -> dict[str, str]:
    """What each of this process's open descriptors is."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


@contextmanager
def nothing_left(folder: str) -> Iterator[None]:
    """Assert that the body leaves no child, no descriptor, and nothing in `folder`."""
    before = children(), descriptors(), os.listdir(folder)
    yield
    after = children(), descriptors(), os.listdir(folder)
    assert after == before, f"left: {after}, at first there was: {before}"


async def died(pid: int) -> None:
    """Wait until a process, not necessarily a child of ours, is dead."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something shows, for which nothing can be awaited.

    The pause between two looks is a thread's, so that it passes under a mock clock too.
    """
    give_up_at = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up_at, "it has not come to hold"
        await trio.to_thread.run_sync(time.sleep, 0.005)


def foreign(code: str, times: Times | None = None, **options: Any) -> Config:
    """A server whose worker is a foreign one that runs `code`."""
    return Config(
        predictor_ref="predict.py",
        worker_command=(sys.executable, "-I", "-S", "-c", dedent(code)),
        times=times or Times(kill_wait=PATIENCE),  # a busy machine is no undead worker
        **options,
    )


async def read_line(stream: trio.abc.ReceiveStream) -> str:
    """One line of a worker's stdout, without its end."""
    line = b""
    while not line.endswith(b"\n"):
        data = await stream.receive_some(1)
        assert data, f"end of stream after {line!r}"
        line += data
    return line.decode().rstrip()


async def read_pids(stream: trio.abc.ReceiveStream) -> list[int]:
    """One line with process ids."""
    return [int(word) for word in (await read_line(stream)).split()]
