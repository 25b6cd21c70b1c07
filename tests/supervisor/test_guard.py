"""`kill -9` of the supervisor, at every moment; and the guard that must do no harm."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from supervisor.guard import open_guard
from supervisor.guard_program import find_members, kill_descendants, signal_group
from supervisor.reaper import Family, open_family
from tests.supervisor.process_table import (
    PATIENCE,
    died,
    exists,
    nothing_left,
    read_pids,
    runs,
)
from tests.supervisor.victim import GONE_WITHIN, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path, nothing_left(path):
        yield path


@pytest.mark.parametrize(
    "worker",
    [
        "sleeping",
        "holding the GIL",
        "with a child elsewhere",
        "with a tree elsewhere",
        "starting more and more",
    ],
)
async def test_kill_of_the_supervisor_takes_the_worker_and_its_child(
    worker: str, folder: str
) -> None:
    supervisor = Supervisor(worker, "", folder)
    with trio.fail_after(PATIENCE):
        async with supervisor.start() as process:
            assert process.stdout is not None
            pids = await read_pids(process.stdout)
            assert all(map(runs, pids))
            # The child may be within its exec, when no environment can be seen.
            assert supervisor.survivors() > {process.pid, pids[0]}
    with trio.fail_after(GONE_WITHIN):
        await supervisor.all_gone(*pids)


@pytest.mark.parametrize(
    ("worker", "suicide"),
    [
        ("sleeping", "untold"),
        ("holding the GIL", "untold"),
        ("dead, its child left", "untold, the worker first"),
        ("sleeping", "unborn"),
        ("holding the GIL", "unborn"),
        ("dead, its child left", "unburied"),
    ],
)
async def test_there_is_no_gap(worker: str, suicide: str, folder: str) -> None:
    supervisor = Supervisor(worker, suicide, folder)
    with trio.fail_after(PATIENCE):
        async with supervisor.start() as process:
            assert await process.wait() == -signal.SIGKILL
    with trio.fail_after(GONE_WITHIN):
        await supervisor.all_gone()


# --- what a guard must not do ----------------------------------------------------------------


@pytest.fixture
def family() -> Iterator[Family]:
    with open_family() as family:
        yield family


@pytest.fixture
async def sleeper() -> AsyncIterator[trio.Process]:
    """A process that leads its own group and is nobody's business."""
    process = await trio.lowlevel.open_process(["sleep", "1000"], start_new_session=True)
    yield process
    process.kill()
    await process.wait()


async def dead_pidfd() -> int:
    """A pidfd of a process that has been reaped."""
    process = await trio.lowlevel.open_process(["sleep", "1000"])
    pidfd = os.pidfd_open(process.pid)
    process.kill()
    await process.wait()
    return pidfd


async def test_stand_down_harms_nobody(sleeper: trio.Process, folder: str, family: Family) -> None:
    marker = Path(folder) / "marker"
    marker.touch()
    async with open_guard(folder, 1, family) as guard:
        guard.watch(sleeper.pid)
        pid = guard.pid
        assert pid is not None
        await guard.stand_down()
        assert guard.pid is None
        assert not exists(pid)
        await guard.stand_down()
    assert sleeper.poll() is None
    marker.unlink()


async def test_the_end_of_the_context_is_a_stand_down(
    sleeper: trio.Process, folder: str, family: Family
) -> None:
    with trio.CancelScope() as scope:
        async with open_guard(folder, 1, family) as guard:
            guard.watch(sleeper.pid)
            scope.cancel()
    assert guard.pid is None
    assert sleeper.poll() is None


async def test_guard_knows_no_secret_and_leads_its_own_session(
    monkeypatch: pytest.MonkeyPatch, folder: str, family: Family
) -> None:
    monkeypatch.setenv("WEBHOOK_TOKEN", "s3cret")
    async with open_guard(folder, 1, family) as guard:
        assert guard.pid is not None
        assert os.getsid(guard.pid) == guard.pid
        # Is not complete before the end of exec, which no other sign tells.
        environment = b""
        with trio.fail_after(PATIENCE):
            while not environment:
                environment = await trio.Path(f"/proc/{guard.pid}/environ").read_bytes()
    for name, value in family.mark.items():
        assert f"{name}={value}".encode() in environment
    assert b"s3cret" not in environment


async def test_a_number_that_is_used_again_is_left_alone(sleeper: trio.Process) -> None:
    """The worker was reaped, and a stranger has got its number and leads a group of it."""
    pidfd = await dead_pidfd()
    signal_group(sleeper.pid, pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert sleeper.poll() is None


async def test_the_group_of_a_reaped_worker_is_killed() -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '1000']).pid, flush=True)"
    with trio.fail_after(PATIENCE):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-ISc", code], stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        async with process.stdout:
            (child,) = await read_pids(process.stdout)
        pidfd = os.pidfd_open(process.pid)
        await process.wait()
        assert runs(child)
        signal_group(process.pid, pidfd, signal.SIGKILL)
        signal_group(process.pid, pidfd, signal.SIGKILL)
        await died(child)
        os.close(pidfd)


@pytest.mark.parametrize("sign", ["stderr", "environment"])
async def test_who_is_recognised_is_killed_with_its_group(sign: str, sleeper: trio.Process) -> None:
    read_end, write_end = os.pipe()
    mark = f"MARK={uuid.uuid4()}"
    code = """
import subprocess, time
child = subprocess.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL, env={})
print(child.pid, flush=True)
time.sleep(1000)
"""
    with trio.fail_after(PATIENCE):
        member = await trio.lowlevel.open_process(
            [sys.executable, "-ISc", code],
            stdout=subprocess.PIPE,
            stderr=write_end if sign == "stderr" else subprocess.DEVNULL,
            env=dict([mark.split("=")]) if sign == "environment" else {},
            start_new_session=True,
        )
        assert member.stdout is not None
        async with member.stdout:
            (child,) = await read_pids(member.stdout)
        # The supervisor itself, and the worker's reader, have the pipe elsewhere than as stderr.
        reader = await trio.lowlevel.open_process(["sleep", "1000"], stdin=read_end)
        inode = os.fstat(read_end).st_ino
        await trio.to_thread.run_sync(kill_descendants, None, inode, mark)
        assert await member.wait() == -signal.SIGKILL
        await died(child)
        for process in sleeper, reader:
            assert process.poll() is None
        reader.kill()
        await reader.wait()
    os.close(read_end)
    os.close(write_end)


ORPHAN_IN_THE_SESSION = """
import subprocess, sys, time
code = (
    "import subprocess;"
    "child = subprocess.Popen(['sleep', '1000'], stderr=-3, process_group=0, env={});"
    "print(child.pid, flush=True)"
)
subprocess.run([sys.executable, "-ISc", code], process_group=0)
time.sleep(1000)
"""


@pytest.mark.parametrize("leader_dead", [False, True])
async def test_an_orphan_in_the_workers_session_is_killed(
    leader_dead: bool, sleeper: trio.Process
) -> None:
    """Its group is its own, its parent is dead, environment and stderr (DEVNULL) say nothing."""
    with trio.fail_after(PATIENCE):
        worker = await trio.lowlevel.open_process(
            [sys.executable, "-ISc", ORPHAN_IN_THE_SESSION],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert worker.stdout is not None
        async with worker.stdout:
            (orphan,) = await read_pids(worker.stdout)
        pidfd = os.pidfd_open(worker.pid)
        if leader_dead:
            worker.kill()
            await worker.wait()
        told = worker.pid, pidfd
        await trio.to_thread.run_sync(kill_descendants, told, 1, "no one's")
        await died(orphan)
        assert await worker.wait() == -signal.SIGKILL
        os.close(pidfd)
        assert sleeper.poll() is None


async def test_nothing_stays_stopped_if_the_look_around_fails(
    monkeypatch: pytest.MonkeyPatch, sleeper: trio.Process
) -> None:
    looks = iter([os.listdir("/proc")])

    def listdir(path: str) -> list[str]:
        for names in looks:
            return names
        raise OSError(errno.ENFILE, path)

    pidfd = os.pidfd_open(sleeper.pid)
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", listdir)
        with pytest.raises(OSError, match="/proc"):
            kill_descendants((sleeper.pid, pidfd), 1, "no one's")
    os.close(pidfd)
    with trio.fail_after(PATIENCE):
        assert await sleeper.wait() == -signal.SIGKILL


async def test_who_has_the_number_of_a_dead_member_is_a_stranger(sleeper: trio.Process) -> None:
    """So are its children and its group: here, we ourselves and all of ours."""
    members = {sleeper.pid: b"1", os.getppid(): b"1"}
    assert find_members(None, 1, "no one's", members) == []
