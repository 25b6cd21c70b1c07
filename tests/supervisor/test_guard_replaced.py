"""The guard itself is killed: it is noticed, replaced, and stood down at any moment."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from supervisor.guard import Guard, open_guard
from supervisor.reaper import open_family
from tests.supervisor.process_table import (
    PATIENCE,
    died,
    exists,
    nothing_left,
    read_pids,
    runs,
    until,
)
from tests.supervisor.victim import GONE_WITHIN, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio.testing import MockClock


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path, nothing_left(path):
        yield path


@pytest.fixture
async def worker() -> AsyncIterator[int]:
    """A process that is guarded. It outlives every guard that is stood down."""
    process = await trio.lowlevel.open_process(["sleep", "1000"], start_new_session=True)
    yield process.pid
    assert runs(process.pid)
    process.kill()
    await process.wait()


@pytest.fixture
async def guard(worker: int, folder: str) -> AsyncIterator[Guard]:
    with open_family() as family:
        async with trio.open_nursery() as nursery, open_guard(folder, 1, family) as guard:
            guard.watch(worker)
            nursery.start_soon(guard.keep)
            yield guard


async def kill(guard: Guard) -> int:
    """Kill the present guard; its pid."""
    pid = guard.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await died(pid)
    return pid


async def replaced(guard: Guard, old: int) -> None:
    await until(lambda: guard.pid not in (None, old))


async def test_a_killed_guard_is_replaced(guard: Guard) -> None:
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        old = await kill(guard)
        await replaced(guard, old)
        assert not exists(old)
        assert guard.pid is not None
        assert runs(guard.pid)
        await guard.stand_down()
    (entry,) = logged
    assert entry["log_level"] == "warning"
    assert (entry["pid"], entry["status"]) == (old, -signal.SIGKILL)


@pytest.mark.parametrize("worker", ["sleeping", "holding the GIL", "with a child elsewhere"])
async def test_the_next_guard_knows_the_worker(worker: str, folder: str) -> None:
    supervisor = Supervisor(worker, "", folder)
    with trio.fail_after(PATIENCE):
        async with supervisor.start() as process:
            assert process.stdout is not None
            pids = await read_pids(process.stdout)
            await until(lambda: bool(supervisor.guards()))
            (old,) = supervisor.guards()
            os.kill(old, signal.SIGKILL)
            await until(lambda: not supervisor.guards() <= {old})
            assert all(map(runs, pids))
    with trio.fail_after(GONE_WITHIN):
        await supervisor.all_gone(*pids)


async def test_a_guard_that_is_dead_before_it_is_told_is_replaced(folder: str, worker: int) -> None:
    with trio.fail_after(PATIENCE), capture_logs(), open_family() as family:
        async with trio.open_nursery() as nursery, open_guard(folder, 1, family) as guard:
            old = await kill(guard)
            guard.watch(worker)
            nursery.start_soon(guard.keep)
            await replaced(guard, old)


async def test_a_pause_between_two_replacements(guard: Guard, mock_clock: MockClock) -> None:
    with capture_logs() as logged:
        await replaced(guard, await kill(guard))
        for _ in range(3):
            next_one = await kill(guard)
            await wait_all_tasks_blocked()
            assert guard.pid == next_one
            mock_clock.jump(0.9)
            await wait_all_tasks_blocked()
            assert guard.pid == next_one
            mock_clock.jump(0.2)
            await replaced(guard, next_one)
    assert len(logged) == 4


async def test_tried_again_when_there_are_no_descriptors(
    guard: Guard, mock_clock: MockClock
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with capture_logs() as logged:
        old = guard.pid
        assert old is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            os.kill(old, signal.SIGKILL)
            await until(lambda: len(logged) == 2)
            mock_clock.jump(1)
            await until(lambda: len(logged) == 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert guard.pid is None
        assert not exists(old)
        mock_clock.jump(1)
        await replaced(guard, old)
    assert [entry["event"] for entry in logged] == [
        "Guard died and is replaced",
        "Cannot start a guard yet",
        "Cannot start a guard yet",
    ]
    assert "Too many open files" in logged[2]["error"]


async def test_tried_again_when_there_are_no_threads(
    guard: Guard, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Python says it when a control group's number of processes is used up."""

    async def open_process(*_: object, **__: object) -> trio.Process:
        raise RuntimeError("can't start new thread")

    with capture_logs() as logged:
        with monkeypatch.context() as patch:
            patch.setattr(trio.lowlevel, "open_process", open_process)
            old = await kill(guard)
            await until(lambda: len(logged) == 2)
        mock_clock.jump(1)
        await replaced(guard, old)


class AtStep(trio.abc.Instrument):
    """Sets an event when `Guard.keep` has made so many steps."""

    def __init__(self, steps: int) -> None:
        self.reached = trio.Event()
        self._steps = steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name.endswith("Guard.keep"):
            if self._steps == 0:
                self.reached.set()
            self._steps -= 1


async def test_stood_down_at_any_moment(folder: str, worker: int) -> None:
    """After each step of the task that replaces, until it gets through."""
    steps, through = 0, False
    while not through:
        with nothing_left(folder), trio.fail_after(PATIENCE), capture_logs():
            instrument = AtStep(steps)
            trio.lowlevel.add_instrument(instrument)
            with open_family() as family:
                async with trio.open_nursery() as nursery, open_guard(folder, 1, family) as guard:
                    guard.watch(worker)
                    old = await kill(guard)
                    nursery.start_soon(guard.keep)
                    while not (instrument.reached.is_set() or through):
                        through = guard.pid not in (None, old)
                        await trio.lowlevel.checkpoint()
                    await guard.stand_down()
                    assert guard.pid is None
                    await guard.stand_down()
            trio.lowlevel.remove_instrument(instrument)
        steps += 1
    assert steps > 3


async def test_two_may_stand_it_down_at_once(guard: Guard) -> None:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(guard.stand_down)
            nursery.start_soon(guard.stand_down)
