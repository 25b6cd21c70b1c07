"""A job: who waits for it, who cancels it, and in which scope it runs."""

from __future__ import annotations

import gc
import weakref
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.messages import LogSource
from supervisor.config import Limits
from supervisor.interface import Event, Gap, PredictionStatus, TooManyFollowers
from supervisor.job import FOLLOWERS_MAX, Job
from supervisor.state.history import LAG_MAX
from supervisor.state.prediction import Prediction

if TYPE_CHECKING:
    from trio.testing import MockClock

S = PredictionStatus


class Accepted:
    """A job, and whether an allocator would still have it."""

    def __init__(self) -> None:
        self.waits_in_allocator = False
        self.over: list[PredictionStatus] = []
        self.job = Job(
            Prediction(id="p1", input={}, shown_input={}, limits=Limits()),
            withdraw=self._withdraw,
            over=lambda job: self.over.append(job.view().status),
        )

    def _withdraw(self, _job: Job) -> bool:
        waited, self.waits_in_allocator = self.waits_in_allocator, False
        return waited


@pytest.mark.parametrize("status", [S.SUCCEEDED, S.FAILED, S.CANCELED])
async def test_all_who_wait_get_the_terminal_view(
    autojump_clock: MockClock, status: PredictionStatus
) -> None:
    accepted = Accepted()
    job = accepted.job
    seen = []

    async def wait() -> None:
        seen.append(await job.wait())

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert seen == []
        job.prediction.start(trio.current_time())
        match status:
            case S.SUCCEEDED:
                job.succeeded(as_list=False)
            case S.FAILED:
                job.failed("no")
            case _:
                job.canceled()
    assert [view.status for view in seen] == [status] * 3
    assert accepted.over == [status], "told once"
    with trio.fail_after(1):
        assert (await job.wait()).status is status, "late, and at once"


async def test_who_stops_waiting_does_not_cancel(autojump_clock: MockClock) -> None:
    job = Accepted().job
    with trio.move_on_after(1):
        await job.wait()
    assert not job.cancel_requested
    assert job.view().status is S.STARTING
    job.failed("no")
    assert (await job.wait()).error == "no"


async def test_cancelling_what_waits_in_the_allocator_is_done_at_once(
    autojump_clock: MockClock,
) -> None:
    accepted = Accepted()
    accepted.waits_in_allocator = True
    accepted.job.cancel()
    assert accepted.over == [S.CANCELED]
    accepted.job.cancel()
    assert accepted.over == [S.CANCELED]


async def test_cancelling_what_runs_cancels_its_attempt_and_nothing_more(
    autojump_clock: MockClock,
) -> None:
    job = Accepted().job
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with job.attempt() as scope:
                await trio.sleep_forever()
            assert scope.cancelled_caught

        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        job.cancel()
    assert job.view().status is S.STARTING, "what it means is said by who ran it"


async def test_a_cancel_before_the_attempt_is_remembered_through_every_attempt(
    autojump_clock: MockClock,
) -> None:
    job = Accepted().job
    job.cancel()
    for _ in range(2):
        with job.attempt() as scope:
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


async def test_a_cancel_after_the_attempt_touches_no_scope(autojump_clock: MockClock) -> None:
    job = Accepted().job
    with job.attempt() as scope:
        await trio.lowlevel.checkpoint()
    job.cancel()
    assert not scope.cancel_called


async def test_stopping_the_doomed_is_not_the_clients_wish(autojump_clock: MockClock) -> None:
    job = Accepted().job
    job.stop_doomed()
    with job.attempt() as scope:
        job.stop_doomed()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert not job.cancel_requested


async def test_a_cancel_after_the_end_does_nothing(autojump_clock: MockClock) -> None:
    accepted = Accepted()
    accepted.job.failed("no")
    accepted.waits_in_allocator = True
    accepted.job.cancel()
    assert not accepted.job.cancel_requested
    assert accepted.over == [S.FAILED]


# --- following --------------------------------------------------------------------------------


async def numbers(job: Job, after: int | None = None) -> list[tuple[int, str]]:
    async with job.follow(after) as events:
        return [(each.number, each.kind.value) async for each in events if isinstance(each, Event)]


async def test_followers_get_what_was_and_what_comes(autojump_clock: MockClock) -> None:
    job = Accepted().job
    seen: dict[str, list[tuple[int, str]]] = {}

    async def follow(name: str) -> None:
        seen[name] = await numbers(job)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow, "early")
        await wait_all_tasks_blocked()
        job.prediction.start(trio.current_time())
        job.prediction.add_log("hi\n", LogSource.STDOUT)
        nursery.start_soon(follow, "late")
        await wait_all_tasks_blocked()
        assert job.followers == 2
        job.prediction.add_output("a", 3)
        job.succeeded(as_list=False)
    whole = [(0, "start"), (1, "log"), (2, "output"), (3, "completed")]
    assert seen == {"early": whole, "late": whole}
    assert job.followers == 0
    assert await numbers(job) == whole
    assert await numbers(job, after=1) == whole[2:]
    assert await numbers(job, after=3) == []
    assert await numbers(job, after=99) == whole, "that number is of an earlier prediction"


async def test_the_last_event_is_the_result(autojump_clock: MockClock) -> None:
    job = Accepted().job
    job.prediction.start(trio.current_time())
    job.failed("no")
    async with job.follow() as events:
        *_, last = [event async for event in events]
    assert isinstance(last, Event)
    assert last.data == job.view().as_state()
    assert last.data["error"] == "no"


async def test_a_follower_that_is_too_slow_gets_a_gap_and_ends(autojump_clock: MockClock) -> None:
    job = Accepted().job
    async with job.follow() as events:
        for _ in range(LAG_MAX + 5):
            job.prediction.add_log("x", LogSource.STDERR)
        assert [event async for event in events] == [Gap(5, lagged=True)]
    async with job.follow() as events:
        dropped = LAG_MAX + 5 - Limits().stream_history
        assert [event async for event in events] == [Gap(dropped, lagged=False)]


async def test_only_so_many_may_follow() -> None:
    job = Accepted().job
    async with AsyncExitStack() as stack:
        for _ in range(FOLLOWERS_MAX):
            await stack.enter_async_context(job.follow())
        with pytest.raises(TooManyFollowers):
            job.follow()
    assert job.followers == 0


async def test_what_is_forgotten_is_gone_at_once(autojump_clock: MockClock) -> None:
    prediction = Prediction(id="p1", input={}, shown_input={}, limits=Limits())
    job = Job(prediction, withdraw=lambda _: False, over=lambda _: None)
    job.prediction.start(trio.current_time())
    async with job.follow() as events:
        job.succeeded(as_list=False)
        assert len([event async for event in events]) == 2
    gone = weakref.ref(job)
    gc.disable()
    try:
        del job, events, prediction
        assert gone() is None, "it waits for the garbage collector"
    finally:
        gc.enable()
