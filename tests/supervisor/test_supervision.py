"""Workers one after another: restarts, their pauses, and what becomes of the jobs."""

from __future__ import annotations

import math
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from supervisor.config import Config, Limits, Times
from supervisor.interface import HealthState, PredictionStatus
from supervisor.link import SpawnError, WorkerEnd
from supervisor.service import PredictionService
from supervisor.supervision import Supervision
from supervisor.telemetry import Telemetry
from tests.supervisor.fake_worker import (
    CRASHED,
    EXITED,
    PATIENCE,
    FakeWorker,
    Life,
    Obedient,
    ending,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock

S = PredictionStatus


class Workers:
    """What opens links: each time a new worker, in a folder of its own."""

    def __init__(self, folder: Path, *, slots: int = 1) -> None:
        self.all: list[FakeWorker] = []
        self.spawn_errors = 0
        """How many of the next starts fail."""
        self.starts: list[float] = []
        self._folder = folder
        self._slots = slots
        self._started_to, self._started = trio.open_memory_channel[FakeWorker](math.inf)

    @asynccontextmanager
    async def open(self, config: Config) -> AsyncIterator[FakeWorker]:
        self.starts.append(trio.current_time())
        if self.spawn_errors:
            self.spawn_errors -= 1
            raise SpawnError("no memory")
        run_dir = self._folder / str(len(self.all))
        run_dir.mkdir()
        worker = FakeWorker(run_dir, slots=self._slots)
        self.all.append(worker)
        self._started_to.send_nowait(worker)
        async with worker.open(config):
            yield worker

    async def next(self) -> FakeWorker:
        """The next worker, as soon as it was started."""
        with trio.fail_after(PATIENCE):
            return await self._started.receive()


class Supervised(Life):
    """A supervision under test; `Life` brings the allocator, the health, and jobs."""

    def __init__(self, workers: Workers, *, queue: int = 9, times: Times | None = None) -> None:
        super().__init__(workers.open, queue=queue, times=times)
        self.workers = workers
        self.supervision = Supervision(
            self.config, self.allocator, self.health, Telemetry(), workers.open
        )
        self.service = PredictionService(
            self.supervision, self.allocator, self.health, Limits(), Telemetry()
        )

    @property
    def state(self) -> HealthState:
        return self.health.state(slot_is_free=self.allocator.has_room)


STEADY = Times(restart_jitter=0.0)


@asynccontextmanager
async def supervised(folder: Path, times: Times = STEADY) -> AsyncIterator[Supervised]:
    """A supervision that runs, cancelled when the block ends."""
    subject = Supervised(Workers(folder), times=times)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(subject.supervision.run)
        yield subject
        nursery.cancel_scope.cancel()


async def test_who_waits_is_told_when_no_worker_can_be_started(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        first = await subject.workers.next()
        await first.set_up()
        running = subject.submit("running")
        await first.slots[0].receive()
        waiting = subject.submit("waiting")
        subject.workers.spawn_errors = 3
        first.die(CRASHED)
        assert (await ending(running)).error.startswith("Worker crashed")
        view = await ending(waiting)
        assert view.status is S.FAILED
        assert (
            view.error == "No worker could be started, 3 times: it could not be started: no memory"
        )
        await (await subject.workers.next()).set_up()
        assert subject.state is HealthState.READY


async def test_a_crashed_worker_is_replaced(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with supervised(tmp_path) as subject:
        first = await subject.workers.next()
        await first.set_up()
        job = subject.submit()
        await first.slots[0].receive()
        first.die(CRASHED)
        assert (await ending(job)).error.startswith("Worker crashed: killed by SIGSEGV")
        await wait_all_tasks_blocked()
        assert subject.state is HealthState.STARTING
        refusal = subject.health.refusal()
        assert refusal is not None
        assert "killed by SIGSEGV" in refusal.reason

        second = await subject.workers.next()
        await second.set_up()
        assert subject.state is HealthState.READY
        again = subject.submit("p2")
        assert (await second.slots[0].receive()).id == "p2"
        await second.done("p2")
        assert (await ending(again)).status is S.SUCCEEDED
    assert [worker.closed for worker in subject.workers.all] == [1, 1]
    assert [len(worker.end_calls) for worker in subject.workers.all] == [1, 1]


async def test_the_pause_doubles_with_every_failure_in_a_row(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        for _ in range(8):
            (await subject.workers.next()).die(WorkerEnd(1, None))
        await subject.workers.next()
    starts = subject.workers.starts
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])


@pytest.mark.parametrize(("ready_for", "pause"), [(59.0, 0.8), (61.0, 0.2)])
async def test_a_worker_that_was_ready_for_long_is_forgiven(
    autojump_clock: MockClock, tmp_path: Path, ready_for: float, pause: float
) -> None:
    async with supervised(tmp_path) as subject:
        for _ in range(2):
            (await subject.workers.next()).die(CRASHED)
        worker = await subject.workers.next()
        await worker.set_up()
        await trio.sleep(ready_for)
        died = trio.current_time()
        worker.die(CRASHED)
        await subject.workers.next()
    assert subject.workers.starts[3] - died == pytest.approx(pause)


async def test_a_worker_that_cannot_be_started_is_tried_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    with capture_logs() as logs:
        async with supervised(tmp_path) as subject:
            subject.workers.spawn_errors = 3
            worker = await subject.workers.next()
            await worker.set_up()
            assert subject.state is HealthState.READY
    reasons = [entry["reason"] for entry in logs if entry["event"] == "Worker ended"]
    assert reasons == ["it could not be started: no memory"] * 3


async def test_a_setup_timeout_is_tried_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    async with supervised(tmp_path, Times(setup_timeout=10.0)) as subject:
        await subject.workers.next()
        worker = await subject.workers.next()
        await worker.set_up()
        assert subject.state is HealthState.READY
    assert len(subject.workers.all[0].end_calls) == 1


async def test_a_failed_setup_is_the_end_and_what_waited_is_told(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        worker = await subject.workers.next()
        jobs = [subject.submit(f"p{number}") for number in range(3)]
        await worker.say(m.SlotFailed("x", "RuntimeError: no weights"))
        worker.die(EXITED)
        for job in jobs:
            view = await ending(job)
            assert (view.status, view.error) == (S.FAILED, "Setup failed: RuntimeError: no weights")
        await trio.sleep(3600)
        assert len(subject.workers.starts) == 1
        assert subject.state is HealthState.SETUP_FAILED
        assert "RuntimeError: no weights" in subject.health.setup_report().logs


async def test_a_setup_that_fails_after_a_crash_is_the_end_too(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        (await subject.workers.next()).die(CRASHED)
        worker = await subject.workers.next()
        await worker.say(m.SlotFailed("x", "RuntimeError: no weights"))
        worker.die(EXITED)
        await trio.sleep(3600)
        assert len(subject.workers.starts) == 2
        assert subject.state is HealthState.SETUP_FAILED


async def test_jobs_that_no_worker_has_seen_wait_for_the_next_one(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        first = await subject.workers.next()
        await first.set_up()
        seen = subject.submit("seen")
        await first.slots[0].receive()
        waiting = [subject.submit(f"w{number}") for number in range(3)]
        first.die(CRASHED)
        assert (await ending(seen)).status is S.FAILED
        second = await subject.workers.next()
        obedient = Obedient(second, answers=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(obedient.run)
            for job in waiting:
                assert (await ending(job)).status is S.SUCCEEDED
            nursery.cancel_scope.cancel()
        assert [predict.id for predict in obedient.predicts] == ["w0", "w1", "w2"]


async def test_what_waits_when_the_server_stops_is_failed(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        await subject.workers.next()
        jobs = [subject.submit(f"p{number}") for number in range(3)]
    for job in jobs:
        view = job.view()
        assert view.status is S.FAILED
        assert view.error == "The server was shut down before the prediction began"


async def test_stopped_in_a_pause_it_starts_no_other_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path, Times(restart_pause=5.0)) as subject:
        (await subject.workers.next()).die(CRASHED)
        await trio.sleep(1)
        job = subject.submit()
    assert job.view().error == "The server was shut down before the prediction began"
    assert len(subject.workers.starts) == 1


async def test_the_schema_is_that_of_the_latest_ready_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        first = await subject.workers.next()
        assert subject.supervision.schema is None
        await first.set_up(schema={"openapi": "first"})
        for _ in range(3):
            subject.workers.all[-1].die(CRASHED)
            await subject.workers.next()
            assert subject.supervision.schema is not None
            assert subject.supervision.schema.document == {"openapi": "first"}
        await subject.workers.all[-1].set_up(schema={"openapi": "second"})
        assert subject.supervision.schema.document == {"openapi": "second"}


async def test_a_healthcheck_asks_the_present_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with supervised(tmp_path) as subject:
        first = await subject.workers.next()
        await first.set_up(healthcheck=True)
        first.die(CRASHED)
        report = await subject.service.check_health()
        assert report.state in (HealthState.STARTING, HealthState.UNHEALTHY)
        second = await subject.workers.next()
        assert (await subject.service.check_health()).state is HealthState.STARTING
        await second.set_up(healthcheck=True)
        reports = []

        async def check() -> None:
            reports.append(await subject.service.check_health())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)
            question = await second.channel.receive()
            await second.say(m.HealthcheckResult(question.id, m.HealthStatus.UNHEALTHY, "no GPU"))
        assert reports[0].state is HealthState.UNHEALTHY
        assert reports[0].user_healthcheck_error == "no GPU"


@pytest.mark.parametrize("turns", range(0, 120, 3))
async def test_stopped_at_any_moment_nothing_is_left_and_everybody_is_answered(
    autojump_clock: MockClock, tmp_path: Path, turns: int
) -> None:
    """Crash, restart, predictions; the whole is cancelled after so many turns of the scheduler."""
    workers = Workers(tmp_path, slots=1)
    subject = Supervised(workers, times=Times(restart_pause=0.0, restart_jitter=0.0))
    jobs = [subject.submit(f"p{number}") for number in range(4)]

    async def play() -> None:
        first = await workers.next()
        with suppress(trio.ClosedResourceError):  # stopped before it was ready
            await first.say(first.ready())
        await first.slots[0].receive()
        first.die(CRASHED)
        await Obedient(await workers.next(), answers=True).run()

    with trio.fail_after(3 * Times().worst_case_stop):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()

            async def run() -> None:
                with scope:
                    await subject.supervision.run()

            nursery.start_soon(run)
            nursery.start_soon(play)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            scope.cancel()
            for job in jobs:
                await job.wait()
            nursery.cancel_scope.cancel()
    for worker in workers.all:
        assert (worker.opened, worker.closed, len(worker.end_calls)) == (1, 1, 1)
    assert subject.allocator.waiting == 0
    assert sorted(subject.over) == ["p0", "p1", "p2", "p3"]
    assert {job.view().status for job in jobs} <= {S.SUCCEEDED, S.FAILED}
