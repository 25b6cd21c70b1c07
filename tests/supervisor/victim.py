"""A supervisor that a test kills, and whatever is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tests.supervisor import killed_supervisor
from tests.supervisor.process_table import PATIENCE, died

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GONE_WITHIN = PATIENCE if "CI" in os.environ else 2.0
"""Seconds from the supervisor's death to the end of everything that it had started. How fast a
machine of others is, nobody knows."""

ROOT = Path(__file__).parents[2]


class Supervisor:
    """A process that runs `killed_supervisor`, and all that comes from it."""

    def __init__(self, worker: str, suicide: str, folder: str) -> None:
        self.folder = folder
        self._tag = f"TAG={uuid.uuid4()}"
        name, value = self._tag.split("=")
        self._environment = os.environ | {
            name: value,
            "TMPDIR": folder,
            "PYTHONPATH": str(ROOT),
        }
        self._argv = [sys.executable, killed_supervisor.__file__, worker, suicide]

    @asynccontextmanager
    async def start(self) -> AsyncIterator[trio.Process]:
        """Run it; it is dead after the context, whatever the test has found."""
        process = await trio.lowlevel.open_process(
            self._argv, stdout=subprocess.PIPE, env=self._environment
        )
        assert process.stdout is not None
        try:
            async with process.stdout:
                yield process
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    def survivors(self) -> set[int]:
        """Its living descendants.

        The worker's have the tag, or were started with it. The guard was told of the folder.
        """
        return {
            pid
            for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if self._has(pid, "environ", self._tag)
            or self._has(pid, "cmdline", self._tag)
            or self._has(pid, "cmdline", self.folder)
        }

    def _has(self, pid: int, file: str, text: str) -> bool:
        try:
            return text.encode() in Path(f"/proc/{pid}/{file}").read_bytes()
        except OSError:
            return False

    def guards(self) -> set[int]:
        """Its guards, as far as they have become that."""
        return {pid for pid in self.survivors() if self._has(pid, "cmdline", "guard_program")}

    async def all_gone(self, *pids: int) -> None:
        """Wait for the end of all that can be found, and of `pids`.

        Who is dying has lost the environment by which it was found, and still runs.
        """
        while survivors := self.survivors():
            for pid in survivors:
                await died(pid)
        for pid in pids:
            await died(pid)
