"""Which of our children stem from which worker, and the end of those that outlive it.

A child subreaper becomes the parent of every descendant whose own parent has died. So a model's
processes that left the worker's group and session come to us when the worker is dead, and can be
killed and reaped. They must not be taken for our other children: a guard, another worker with its
descendants, or anything else that this program has started.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Family", "become_subreaper", "is_reaper", "open_family", "reap_orphans"]

log = structlog.get_logger("supervisor.reaper")

_PR_SET_CHILD_SUBREAPER: Final = 36
_PR_GET_CHILD_SUBREAPER: Final = 37

_MARK: Final = "_COGLET_FAMILY"
"""The environment variable by which descendants are known, whatever session they are in."""

_families: set[Family] = set()
"""The families that have members in this process; like its children, there is one set of them."""


def become_subreaper() -> None:
    """Make this process the parent of its descendants' orphans, for as long as it lives.

    Raises:
        OSError: the kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def is_reaper() -> bool:
    """Whether orphans come to this process: it is a subreaper, or process 1 of its namespace."""
    flag = ctypes.c_int(0)
    ctypes.CDLL(None).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(flag), 0, 0, 0)
    return bool(flag.value) or os.getpid() == 1


@frozen
class _Child:
    """One child of this process, as `/proc/<pid>/stat` tells."""

    pid: int
    state: str
    session: int

    @property
    def is_dead(self) -> bool:
        """Whether it only waits to be reaped."""
        return self.state == "Z"


class Family:
    """The descendants of one worker. `open_family` makes one.

    Attributes:
        mark: what must be in the environment of the worker, and of its guard.
        starting: to be held while one of them is started, until it is `found` or excluded: nobody
            can tell it from an orphan before. So whoever looks for orphans must hold it too.
        is_closed: its worker's time is over; what is left of it is overdue.
    """

    def __init__(self) -> None:
        self.mark: Final = {_MARK: secrets.token_hex(16)}
        self.starting: Final = trio.Lock()
        self.is_closed = False
        # What an older family has left is that one's, even while it is dying.
        self._others = {child.pid for child in _children() if not _is_claimed(child)}
        self._killed: set[int] = set()
        self._worker: int | None = None

    def exclude(self, pid: int) -> None:
        """Say that a child of ours is none of the family, although it may look so: the guard."""
        self._others.add(pid)

    def forget(self, pid: int) -> None:
        """Say that nobody waits for an excluded child any more, or that it has been reaped.

        It is an orphan from now on, or else whoever gets its number next may be one.
        """
        self._others.discard(pid)

    def found(self, worker_pid: int) -> None:
        """Say which process is the worker. It leads its own session, and we never reap it here."""
        self.exclude(worker_pid)
        self._worker = worker_pid

    def orphans(self) -> list[int]:
        """The pids of our children that are of this family: not the worker, not the guard."""
        return [child.pid for child in self._members()]

    async def end(self) -> None:
        """Kill and reap all orphans, until none is left. To be called with `starting` held.

        A killed process leaves us its own children, so this looks again until it finds nothing.
        The caller sets a deadline: the kernel may be unable to end a process. There is no
        checkpoint before the first kill: even a caller who is cancelled has them killed.
        """
        while members := self._members():
            for child in members:
                self._end_one(child)
            for child in members:
                if not child.is_dead:
                    await _died(child.pid)

    def end_overdue(self) -> bool:
        """Kill and reap orphans without waiting for any; whether none is left.

        A process that takes its time makes itself heard when it is dead, by SIGCHLD.
        """
        while members := self._members():
            for child in members:
                self._end_one(child)
            if not any(child.is_dead for child in members):
                return False
        return True

    async def reap_dead(self) -> None:
        """Reap those orphans that have ended already."""
        async with self.starting:
            for child in self._members():
                if child.is_dead:
                    self._end_one(child)

    def _members(self) -> list[_Child]:
        return [child for child in _children() if self.claims(child)]

    def _end_one(self, child: _Child) -> None:
        """Kill it if it runs, reap it if it is dead."""
        if child.is_dead:
            _collect(child.pid)
            self._killed.discard(child.pid)
        else:
            # Not reaped yet, so the number is still its own.
            with suppress(PermissionError):
                os.kill(child.pid, signal.SIGKILL)
            self._killed.add(child.pid)

    def claims(self, child: _Child) -> bool:
        """Whether a child of this process is an orphan of this family."""
        if child.pid in self._killed:
            return True  # A zombie cannot be asked for its mark any more.
        # No descendant of a worker can get into a session that exists already: ours is not its.
        if child.pid in self._others or child.session == os.getsid(0):
            return False
        mark = _environment_of(child.pid).get(_MARK)
        if mark is not None:
            return mark == self.mark[_MARK]
        # Its environment was emptied, or it is a zombie.
        if self._worker is not None and child.session == self._worker:
            return True
        # Then it is ours if nobody else can have brought it here.
        return is_reaper() and _families == {self}


def _is_claimed(child: _Child) -> bool:
    return any(family.claims(child) for family in _families)


@contextmanager
def open_family() -> Iterator[Family]:
    """Prepare for a worker, before its guard or itself is started.

    Children that this process has at this moment are never touched, nor are those in its own
    session. While a family is open, let nobody else in this process start children that make a
    session of their own, or `exclude` them.

    What of it has not ended when the context is left is killed, and is left to `reap_orphans`.
    """
    _end_overdue()
    family = Family()
    _families.add(family)
    try:
        yield family
    finally:
        family.is_closed = True
        _end_overdue()


def _end_overdue() -> None:
    """End what closed families have left, as far as that goes without waiting."""
    # A copy: those without members go.
    for family in tuple(_families):
        if family.is_closed and _has_ended(family):
            _families.remove(family)


def _has_ended(family: Family) -> bool:
    try:
        return family.end_overdue()
    except OSError as error:
        # No free descriptor to look at /proc; the next look finds them.
        log.warning("Cannot look for what a worker has left running", error=str(error))
        return False


async def reap_orphans(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Reap orphans that end while their worker lives on, and end overdue ones, until cancelled.

    Without it, each helper that a model leaves to itself stays as a zombie until the worker ends,
    and what a process leaves that takes long to die runs on until the next worker is started.
    To be run once, in the main thread; `started` once it is listening for SIGCHLD.
    """
    with trio.open_signal_receiver(signal.SIGCHLD) as signals:
        task_status.started()
        async for _ in signals:
            if _has_zombie():
                _end_overdue()
                await _reap_dead_orphans()


async def _reap_dead_orphans() -> None:
    try:
        # A copy: families come and go while one is waited for.
        for family in tuple(_families):
            if not family.is_closed:
                await family.reap_dead()
    except OSError as error:
        # No free descriptor to look at /proc; they are found the next time.
        log.warning("Cannot look for ended orphans", error=str(error))


def _has_zombie() -> bool:
    """Whether any child waits to be reaped: much cheaper than a look at every process."""
    with suppress(ChildProcessError):
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return False


async def _died(pid: int) -> None:
    """Wait until a child is dead; it stays a zombie."""
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            os.close(pidfd)


def _collect(pid: int) -> None:
    """Take the exit status of a dead child, so that it is no zombie any more."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _children() -> list[_Child]:
    """All children of this process, zombies too.

    `/proc/self/task/*/children` would be shorter, but the kernel promises its completeness only
    while all the children are frozen.
    """
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{pid}/stat") as file:
            # The command's name, in parentheses, may hold blanks and parentheses itself.
            state, parent, _group, session = file.read().rpartition(") ")[2].split()[:4]
            if int(parent) == os.getpid():
                found.append(_Child(pid, state, int(session)))
    return found


def _environment_of(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it is dead or not ours to see."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = os.fsdecode(file.read())
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in text.split("\0") if "=" in item)
