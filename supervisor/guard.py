"""The supervisor's end of the guard, which kills the worker's group if the supervisor is killed.

What the guard process does, and why it leaves no gap, is told in `supervisor.guard_program`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from supervisor import guard_program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["Guard", "open_guard"]

_ENVIRONMENT: Final = ("LD_LIBRARY_PATH",)
"""What an interpreter may need to start. The guard gets nothing else of our environment."""

_REAP_WITHIN: Final = 2.0
"""Seconds from the guard's SIGKILL to its reaping; longer only if the system is in deep trouble."""


class Guard:
    """A running guard. `open_guard` makes one."""

    def __init__(self, process: trio.Process, told_by: int) -> None:
        self._process = process
        self._pipe: int | None = told_by

    @property
    def pid(self) -> int:
        """The guard's process id."""
        return self._process.pid

    def watch(self, worker_pid: int) -> None:
        """Tell which process group to kill when we are gone. Call it as soon as it is known.

        Raises:
            BrokenPipeError: the guard is dead.
        """
        assert self._pipe is not None, "watch after stand_down"  # noqa: S101
        os.write(self._pipe, b"%d\n" % worker_pid)

    async def stand_down(self) -> None:
        """End the guard without harm. Must be done before the worker is reaped; may be again."""
        if self._pipe is None:
            return
        # The order counts: the guard is dead before its pipe ends.
        self._process.kill()
        with trio.move_on_after(_REAP_WITHIN, shield=True):
            await self._process.wait()
        os.close(self._pipe)
        self._pipe = None


@asynccontextmanager
async def open_guard(
    run_dir: str, capture_inode: int, mark: Mapping[str, str]
) -> AsyncGenerator[Guard]:
    """Start a guard, before its worker; it has been reaped when the context is left.

    Args:
        run_dir: the folder that the guard removes after the supervisor was killed.
        capture_inode: the inode of the pipe that is the worker's fd 2.
        mark: one variable of the worker's environment. The guard has it too, so that whoever looks
            for another worker's descendants knows whose it is.

    Raises:
        OSError: the process could not be started.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    arguments = [run_dir, str(capture_inode), *(f"{name}={value}" for name, value in mark.items())]
    read_end, write_end = os.pipe()
    try:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", guard_program.__file__, *arguments],
            stdin=read_end,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env=environment | dict(mark),
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    guard = Guard(process, write_end)
    try:
        yield guard
    finally:
        await guard.stand_down()
