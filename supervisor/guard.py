"""The supervisor's end of the guard, which ends all of a worker if the supervisor is killed.

That is the worker and every descendant of it, in whatever group or session. What the guard process
does, and why it leaves no gap, is told in `supervisor.guard_program`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import frozen

from supervisor import guard_program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from supervisor.reaper import Family

__all__ = ["Guard", "open_guard"]

log = structlog.get_logger("supervisor.guard")

_ENVIRONMENT: Final = ("LD_LIBRARY_PATH",)
"""What an interpreter may need to start. The guard gets nothing else of our environment."""

_REAP_WITHIN: Final = 0.2
"""Seconds from the guard's SIGKILL to its reaping. If the system is so busy that it needs longer,
it is an orphan of its family, as it has the mark, and is reaped as one."""

_PAUSE: Final = 1.0
"""Seconds from one attempt to replace a dead guard to the next."""


@frozen
class _Running:
    """A guard process that has not been reaped."""

    process: trio.Process
    told_by: int
    """The write end of the pipe that is its stdin."""


class Guard:
    """A guard: one process at a time, and the next one when that dies. `open_guard` makes one."""

    def __init__(self, arguments: list[str], family: Family) -> None:
        self._arguments = arguments
        self._family = family
        self._worker_pid: int | None = None
        self._running: _Running | None = None
        self._changing = trio.Lock()  # Held by whoever is about to change `_running`.
        self._keeping = trio.CancelScope(shield=True)

    @property
    def pid(self) -> int | None:
        """The process id of the present guard; None while there is none."""
        return self._running.process.pid if self._running is not None else None

    def watch(self, worker_pid: int) -> None:
        """Say whom to kill, with all descendants, when we are gone. Call it as soon as known."""
        assert self._running is not None, "watch after stand_down"  # noqa: S101
        self._worker_pid = worker_pid
        with suppress(BrokenPipeError):  # It is dead, and `keep` tells the next one.
            _tell(self._running.told_by, worker_pid)

    async def keep(self) -> None:
        """Replace the guard whenever it dies. Ends at `stand_down`, and not by cancellation.

        To be run once, after `watch`.
        """
        assert self._worker_pid is not None, "keep before watch"  # noqa: S101
        with self._keeping:
            while True:
                await self._replace_dead()
                # Also after a success: whatever has killed it may kill the next one at once.
                await trio.sleep(_PAUSE)

    async def _replace_dead(self) -> None:
        """Wait for the guard's death, and try once to start another one."""
        if self._running is not None:
            await self._running.process.wait()
        # Acquiring is a checkpoint: after `stand_down` has begun nobody gets beyond it.
        async with self._changing:
            if self._running is not None:
                process = self._running.process
                log.warning(
                    "Guard died and is replaced", pid=process.pid, status=process.returncode
                )
                self._let_go(self._running)
            try:
                await self.start()
            except (OSError, RuntimeError) as error:
                # RuntimeError: there is no thread to start it in, when processes are used up.
                log.warning("Cannot start a guard yet", error=str(error))

    async def start(self) -> None:
        """Start the process. `open_guard` has done it for the first one.

        Raises:
            OSError: it could not be started.
        """
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        read_end, write_end = os.pipe()
        try:
            if self._worker_pid is not None:
                _tell(write_end, self._worker_pid)  # Before its start, so that there is no gap.
            async with self._family.starting:
                process = await trio.lowlevel.open_process(
                    [sys.executable, "-I", "-S", guard_program.__file__, *self._arguments],
                    stdin=read_end,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    env=environment | self._family.mark,
                )
                self._family.exclude(process.pid)
        except BaseException:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        # No checkpoint since the process runs: it cannot get lost.
        self._running = _Running(process, write_end)

    async def stand_down(self) -> None:
        """End the guard without harm. Must be done before the worker is reaped; may be again."""
        self._keeping.cancel()
        with trio.CancelScope(shield=True):
            async with self._changing:  # The next one may be about to start.
                if self._running is not None:
                    # The order counts: the guard is dead before its pipe ends.
                    self._running.process.kill()
                    with trio.move_on_after(_REAP_WITHIN):
                        await self._running.process.wait()
                    self._let_go(self._running)

    def _let_go(self, running: _Running) -> None:
        os.close(running.told_by)
        self._family.forget(running.process.pid)
        self._running = None


def _tell(pipe: int, worker_pid: int) -> None:
    os.write(pipe, b"%d\n" % worker_pid)


@asynccontextmanager
async def open_guard(run_dir: str, capture_inode: int, family: Family) -> AsyncGenerator[Guard]:
    """Start a guard, before its worker; it has been reaped when the context is left.

    Args:
        run_dir: the folder that the guard removes after the supervisor was killed.
        capture_inode: the inode of the pipe that is the worker's fd 2.
        family: the worker's. The guard has its mark too, so that whoever looks for another
            worker's descendants knows whose it is; but it is excluded.

    Raises:
        OSError: the process could not be started.
    """
    arguments = [run_dir, str(capture_inode)]
    arguments += [f"{name}={value}" for name, value in family.mark.items()]
    guard = Guard(arguments, family)
    await guard.start()
    try:
        yield guard
    finally:
        await guard.stand_down()
