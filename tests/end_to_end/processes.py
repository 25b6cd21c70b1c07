"""Other processes, as /proc shows them, and waiting for their end without polling."""

from __future__ import annotations

import contextlib
import os
import select
from collections import defaultdict
from pathlib import Path

import trio
from attrs import frozen


@frozen
class Status:
    """One line of /proc/<pid>/stat."""

    pid: int
    parent: int
    state: str
    """`Z` is a zombie."""


def statuses() -> list[Status]:
    """Every process there is."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
                found.append(Status(int(folder.name), int(parent), state))
    return found


def descendants(pid: int) -> list[Status]:
    """The children of `pid`, and theirs."""
    children = defaultdict(list)
    for status in statuses():
        children[status.parent].append(status)
    found: list[Status] = []
    queue = [pid]
    while queue:
        below = children[queue.pop()]
        found += below
        queue += [status.pid for status in below]
    return found


def marked(name: str, value: str) -> set[int]:
    """The processes that were started with `name=value` in their environment."""
    wanted = f"{name}={value}".encode()
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.add(int(folder.name))
    return found


def is_guard(pid: int) -> bool:
    """Whether it is the guard of a worker."""
    try:
        return b"guard_program.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


class Watch:
    """Sees the end of processes that are no children of ours."""

    def __init__(self, pids: set[int]) -> None:
        self._pidfds = {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                self._pidfds[pid] = os.pidfd_open(pid)

    def running(self) -> set[int]:
        """Those that have not ended. Not to be asked after `ended`."""
        poll = select.poll()
        for pidfd in self._pidfds.values():
            poll.register(pidfd, select.POLLIN)
        over = {pidfd for pidfd, _ in poll.poll(0)}
        return {pid for pid, pidfd in self._pidfds.items() if pidfd not in over}

    async def ended(self) -> None:
        """Return when the last of them has ended."""
        try:
            for pidfd in self._pidfds.values():
                await trio.lowlevel.wait_readable(pidfd)
        finally:
            for pidfd in self._pidfds.values():
                os.close(pidfd)
