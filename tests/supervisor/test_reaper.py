"""Whose child is it: asked of real orphans that have come to this process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor import reaper
from supervisor.reaper import Family, become_subreaper, is_reaper, open_family, reap_orphans
from tests.supervisor.process_table import PATIENCE, children, died, exists, read_pids, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

ORPHAN = """
import subprocess
child = subprocess.Popen(["sleep", "1000"], start_new_session=True, env={environment})
print(child.pid, flush=True)
"""
INHERITED, EMPTY = "None", "{}"


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    before = children()
    become_subreaper()
    yield
    assert children() == before
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


async def orphan(family: Family, environment: str = INHERITED) -> int:
    """A process that has left its dead parent's session, and so comes to us."""
    parent = await trio.lowlevel.open_process(
        [sys.executable, "-ISc", ORPHAN.format(environment=environment)],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ) | dict(family.mark),
    )
    family.exclude(parent.pid)
    assert parent.stdout is not None
    async with parent.stdout:
        (pid,) = await read_pids(parent.stdout)
    assert await parent.wait() == 0
    # Until the end of its exec no environment can be seen.
    while environment == INHERITED and not await trio.Path(f"/proc/{pid}/environ").read_bytes():
        await trio.lowlevel.checkpoint()
    return pid


async def end(family: Family) -> None:
    async with family.starting:
        await family.end()


def kill_and_reap(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_become_subreaper() -> None:
    assert is_reaper()
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    assert is_reaper() is (os.getpid() == 1)
    become_subreaper()
    become_subreaper()
    assert is_reaper()


def test_refusal_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "_PR_SET_CHILD_SUBREAPER", 9999)
    with pytest.raises(OSError, match="Invalid argument"):
        become_subreaper()


@pytest.mark.parametrize("environment", [INHERITED, EMPTY])
async def test_orphans_are_killed_and_reaped(environment: str) -> None:
    with open_family() as family, trio.fail_after(PATIENCE):
        pids = [await orphan(family, environment) for _ in range(3)]
        assert sorted(family.orphans()) == sorted(pids)
        await end(family)
        assert not any(map(exists, pids))
        await end(family)


async def test_each_family_ends_its_own() -> None:
    with open_family() as one, open_family() as other, trio.fail_after(PATIENCE):
        ours, theirs = await orphan(one), await orphan(other)
        nobodys = await orphan(one, EMPTY)
        assert one.orphans() == [ours]
        await end(one)
        assert not exists(ours)
        assert runs(theirs)
        # Its environment does not tell, and either family may have left it.
        assert runs(nobodys)
        await end(other)
        assert not exists(theirs)
        assert runs(nobodys)
        kill_and_reap(nobodys)


async def test_the_last_family_ends_whom_nobody_can_claim() -> None:
    with open_family() as last, trio.fail_after(PATIENCE):
        with open_family() as first:
            pid = await orphan(first, EMPTY)
            assert first.orphans() == last.orphans() == []
        assert last.orphans() == [pid]
        await end(last)
        assert not exists(pid)


async def test_other_children_are_left_alone() -> None:
    """Older ones, those of our own session, those excluded, and the worker itself."""
    sleep = ["sleep", "1000"]
    with trio.fail_after(PATIENCE):
        elder = await trio.lowlevel.open_process(sleep, start_new_session=True)
        with open_family() as family:
            near = await trio.lowlevel.open_process(sleep, env=dict(family.mark))
            guard = await trio.lowlevel.open_process(sleep, start_new_session=True)
            family.exclude(guard.pid)
            worker = await trio.lowlevel.open_process(sleep, start_new_session=True)
            family.found(worker.pid)
            assert family.orphans() == []
            await end(family)
            for process in elder, near, guard, worker:
                assert runs(process.pid)
                process.kill()
                await died(process.pid)
            # Zombies now: their statuses belong to who has started them.
            await family.reap_dead()
            for process in elder, near, guard, worker:
                assert await process.wait() == -signal.SIGKILL


async def test_not_a_reaper_claims_no_unknown() -> None:
    """Then no orphan comes to us, and an unknown child is somebody's in this program."""
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)
    with open_family() as family, trio.fail_after(PATIENCE):
        process = await trio.lowlevel.open_process(["sleep", "1000"], start_new_session=True)
        assert family.orphans() == []
        process.kill()
        await process.wait()


async def test_orphans_that_end_are_reaped_while_the_worker_lives() -> None:
    with open_family() as family, trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(reap_orphans)
            bystander = await trio.lowlevel.open_process(["true"])
            stays = await orphan(family)
            for environment in INHERITED, EMPTY:
                pid = await orphan(family, environment)
                os.kill(pid, signal.SIGKILL)
                while exists(pid):
                    await trio.lowlevel.checkpoint()
            assert runs(stays)
            assert await bystander.wait() == 0
            await end(family)
            nursery.cancel_scope.cancel()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


async def test_end_gives_up_only_at_the_callers_deadline() -> None:
    """Not with a real unkillable process: nobody can make one on purpose."""
    with open_family() as family, trio.fail_after(PATIENCE):
        pid = await orphan(family)
        with trio.CancelScope() as scope:
            scope.cancel()
            await family.end()
        assert scope.cancelled_caught
        await died(pid)
        await end(family)
        assert not exists(pid)


@pytest.mark.parametrize("dies", [False, True])
async def test_who_is_being_started_is_no_orphan(dies: bool) -> None:
    """Not before it can be seen whose it is, nor when it is dead at once."""
    with trio.fail_after(PATIENCE), open_family() as family:
        async with trio.open_nursery() as nursery:
            await nursery.start(reap_orphans)
            async with family.starting:
                nursery.start_soon(end, family)
                process = await trio.lowlevel.open_process(
                    ["false" if dies else "sleep", "1000"], start_new_session=True, env={}
                )
                if dies:
                    await died(process.pid)
                await wait_all_tasks_blocked()
                assert exists(process.pid)
                assert runs(process.pid) is not dies
                family.exclude(process.pid)
            await end(family)
            if not dies:
                assert runs(process.pid)
                process.kill()
            assert await process.wait() == (1 if dies else -signal.SIGKILL)
            nursery.cancel_scope.cancel()


async def test_what_an_older_family_has_left_is_not_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor nobody's: it is ended as soon as it can be."""
    with trio.fail_after(PATIENCE):
        with monkeypatch.context() as patch:
            with open_family() as older:
                pid = await orphan(older)
                patch.setattr(os, "kill", lambda *_: None)  # As if the kernel took its time.
            with open_family() as family:
                assert family.orphans() == []
                assert older.orphans() == [pid]
        with open_family() as family:
            await died(pid)
            assert family.orphans() == []
        assert not exists(pid)


async def test_who_gets_the_number_of_a_forgotten_child_is_an_orphan() -> None:
    with open_family() as family, trio.fail_after(PATIENCE):
        pid = await orphan(family)
        family.exclude(pid)
        assert family.orphans() == []
        family.forget(pid)
        assert family.orphans() == [pid]
        await end(family)
