"""One healthcheck in flight, shared by all who ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import memory_stream_one_way_pair, wait_all_tasks_blocked

from protocol.messages import Healthcheck, HealthcheckResult, HealthStatus
from supervisor.healthcheck import HealthcheckCalls

if TYPE_CHECKING:
    from trio.testing import MockClock


class Asked:
    """The calls under test, what they asked, and what their callers were told."""

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.answers: list[str | None] = []
        self.calls = HealthcheckCalls(self._send, timeout=10.0)

    def _send(self, question: Healthcheck) -> None:
        self.questions.append(question.id)

    async def call(self) -> None:
        self.answers.append(await self.calls.call())

    def answer(self, question: str, error: str | None = None, *, healthy: bool = False) -> None:
        status = HealthStatus.HEALTHY if healthy else HealthStatus.UNHEALTHY
        self.calls.answered(HealthcheckResult(question, status, error))


async def test_callers_share_the_question_and_its_answer(autojump_clock: MockClock) -> None:
    asked = Asked()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        assert asked.questions == ["hc_1"]
        asked.answer("hc_1", healthy=True)
    assert asked.answers == [None] * 5
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        assert asked.questions == ["hc_1", "hc_2"], "an old answer is not used again"
        asked.answer("hc_2", "no GPU")
    assert asked.answers[5:] == ["no GPU"]


@pytest.mark.parametrize(("error", "said"), [("no GPU", "no GPU"), (None, "unhealthy")])
async def test_an_unhealthy_answer(autojump_clock: MockClock, error: str | None, said: str) -> None:
    asked = Asked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        asked.answer("hc_1", error)
    assert asked.answers == [said]


async def test_an_answer_that_does_not_come(autojump_clock: MockClock) -> None:
    asked = Asked()
    begin = trio.current_time()
    await asked.call()
    assert trio.current_time() - begin == pytest.approx(10.0)
    assert asked.answers == ["healthcheck timed out"]


@pytest.mark.parametrize("_time", range(10))  # each time either task may run first
async def test_an_answer_that_came_while_we_stood_still_ourselves_is_not_late(
    mock_clock: MockClock, _time: int
) -> None:
    asked = Asked()
    worker, supervisor = memory_stream_one_way_pair()

    async def read() -> None:
        await supervisor.receive_some()
        asked.answer("hc_1", healthy=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        await worker.send_all(b"x")
        # Nobody runs between the two.
        mock_clock.jump(10)
    assert asked.answers == [None]


async def test_a_question_that_is_too_old_is_asked_anew_and_its_answer_ignored(
    autojump_clock: MockClock,
) -> None:
    asked = Asked()
    await asked.call()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        assert asked.questions == ["hc_1", "hc_2"]
        asked.answer("hc_1", "stale")
        await wait_all_tasks_blocked()
        assert asked.answers == ["healthcheck timed out"]
        asked.answer("hc_2", healthy=True)
    assert asked.answers == ["healthcheck timed out", None]


async def test_a_caller_who_joins_late_has_its_own_patience(autojump_clock: MockClock) -> None:
    asked = Asked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        await trio.sleep(9)
        nursery.start_soon(asked.call)
        await trio.sleep(5)
        assert asked.answers == ["healthcheck timed out"]
        assert asked.questions == ["hc_1"]
        asked.answer("hc_1", healthy=True)
    assert asked.answers == ["healthcheck timed out", None]


async def test_a_caller_who_leaves_does_not_disturb_the_others(autojump_clock: MockClock) -> None:
    asked = Asked()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        with trio.move_on_after(1):
            await asked.call()
        asked.answer("hc_1", healthy=True)
    assert asked.answers == [None]
    asked.answer("hc_1", healthy=True)
    asked.answer("made up", healthy=True)
    assert asked.answers == [None]


async def test_when_the_worker_ends_everybody_is_told(autojump_clock: MockClock) -> None:
    asked = Asked()
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.call)
        nursery.start_soon(asked.call)
        await wait_all_tasks_blocked()
        asked.calls.close()
    await asked.call()
    assert asked.answers == ["the worker ended during the healthcheck"] * 3
    assert asked.questions == ["hc_1"]
    assert trio.current_time() == begin
