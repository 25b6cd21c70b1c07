"""What webhooks are told, in which order and how often; nobody answers here but the test."""

from __future__ import annotations

import gc
import json
import weakref
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol.messages import LogSource, Trace
from supervisor.config import Config, Limits, Times
from supervisor.interface import Webhook
from supervisor.job import Job
from supervisor.state.prediction import Prediction
from supervisor.telemetry import Telemetry
from supervisor.webhook_caller import Message, Outcome
from supervisor.webhooks import LAST_PROGRESS, LAST_PROGRESS_HURRIED, TRIES_MAX, Webhooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

ALL = frozenset({"start", "output", "logs", "completed"})
URL = "http://user:hunter2@receiver.example/hook?token=hunter3"
DOWN = Outcome("it answered 503", again=True)


@define(eq=False)
class Played:
    """A prediction of which the test is the worker."""

    job: Job

    def start(self) -> None:
        self.job.prediction.start(trio.current_time())

    def log(self, text: str) -> None:
        self.job.prediction.add_log(text, LogSource.STDOUT)

    def output(self, *items: Any) -> None:
        for item in items:
            assert self.job.prediction.add_output(item, 10)

    def succeed(self) -> None:
        self.job.succeeded(as_list=True)


def played(prediction_id: str = "p1") -> Played:
    prediction = Prediction(id=prediction_id, input={}, shown_input={}, limits=Limits())
    return Played(Job(prediction, withdraw=lambda _: False, over=lambda _: None))


@define(eq=False)
class Receiver:
    """Takes messages, each `takes` seconds long, and answers as it is told.

    Attributes:
        outcomes: the next answers; then all is well.
        begun: the messages whose sending has begun, and when.
        taken: the states that were delivered.
        parallel: the most that were on their way together.
    """

    takes: float = 0.0
    outcomes: list[Outcome] = field(factory=list)
    always: Outcome = field(factory=Outcome)
    begun: list[tuple[float, Message]] = field(factory=list)
    taken: list[dict[str, Any]] = field(factory=list)
    parallel: int = 0
    is_closed: bool = False
    _now: int = 0

    async def post(self, message: Message) -> Outcome:
        self.begun.append((trio.current_time(), message))
        self._now += 1
        self.parallel = max(self.parallel, self._now)
        try:
            await trio.sleep(self.takes)
        finally:
            self._now -= 1
        outcome = self.outcomes.pop(0) if self.outcomes else self.always
        if not outcome.problem:
            self.taken.append(json.loads(message.body))
        return outcome

    async def aclose(self) -> None:
        self.is_closed = True
        await trio.lowlevel.checkpoint()

    @property
    def told(self) -> list[tuple[str, Any]]:
        """Status and output of each state that was delivered."""
        return [(each["status"], each.get("output")) for each in self.taken]

    @property
    def pauses(self) -> list[float]:
        times = [time for time, _ in self.begun]
        return [after - before for before, after in pairwise(times)]


@asynccontextmanager
async def sending(receiver: Receiver, **limits: int) -> AsyncIterator[Webhooks]:
    config = Config("m.py", limits=Limits(**limits), times=Times(webhook_interval=0.5))

    async def open_receiver(_: Config) -> Receiver:
        await trio.lowlevel.checkpoint()
        return receiver

    webhooks = Webhooks(config, Telemetry(), open_receiver)
    async with trio.open_nursery() as nursery:
        await nursery.start(webhooks.run)
        yield webhooks
        nursery.cancel_scope.cancel()


async def watched(
    webhooks: Webhooks, events: frozenset[str] = ALL, prediction_id: str = "p1", url: str = URL
) -> Played:
    """A prediction that has not started, and whose webhook is watched."""
    prediction = played(prediction_id)
    webhooks.watch(prediction.job, Webhook(url, events), Trace("00-1-2-01"))
    await wait_all_tasks_blocked()
    return prediction


# --- one prediction ---------------------------------------------------------------------------


async def test_every_event_is_told_as_the_state_at_its_time(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        await trio.sleep(1)
        prediction.log("hello\n")
        await trio.sleep(1)
        prediction.output("a")
        await trio.sleep(1)
        prediction.output("b")
        await trio.sleep(1)
        prediction.succeed()
        await webhooks.delivered()
    last = receiver.taken.pop()
    started = {"id": "p1", "status": "processing", "logs": "", "metrics": {}}
    logged = started | {"logs": "hello\n"}
    assert receiver.taken == [
        started,
        logged,
        logged | {"output": ["a"]},
        logged | {"output": ["a", "b"]},
    ]
    assert last.pop("metrics").keys() == {"predict_time"}
    assert last == {"id": "p1", "status": "succeeded", "logs": "hello\n", "output": ["a", "b"]}
    assert receiver.is_closed


async def test_each_message_has_an_id_of_its_own_and_the_trace(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        prediction.succeed()
        await webhooks.delivered()
    first, second = (message for _, message in receiver.begun)
    assert first.id != second.id
    assert str(first.url) == URL
    assert first.trace == Trace("00-1-2-01")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ({"start"}, [("processing", None)]),
        ({"output"}, [("processing", ["a"]), ("processing", ["a", "b"])]),
        ({"logs"}, [("processing", ["a"])]),
        ({"completed"}, [("succeeded", ["a", "b"])]),
        ({"start", "completed"}, [("processing", None), ("succeeded", ["a", "b"])]),
        (set(), []),
    ],
)
async def test_only_what_the_filter_names_is_told(
    autojump_clock: MockClock, events: set[str], told: list[Any]
) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks, frozenset(events))
        prediction.start()
        await trio.sleep(1)
        prediction.output("a")
        await trio.sleep(1)
        prediction.log("x")
        await trio.sleep(1)
        prediction.output("b")
        await trio.sleep(1)
        prediction.succeed()
        await webhooks.delivered()
    assert receiver.told == told


async def test_logs_are_throttled_and_told_later_but_output_is_not(
    autojump_clock: MockClock,
) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        await wait_all_tasks_blocked()
        for _ in range(10):
            await trio.sleep(0.02)
            prediction.log("x")
        await trio.sleep(1)
        assert [each["logs"] for each in receiver.taken] == ["", "x" * 10]
        assert receiver.pauses == [pytest.approx(0.5)]
        for item in "abc":
            prediction.output(item)
            await trio.sleep(0.01)
        assert [each.get("output") for each in receiver.taken[2:]] == [
            ["a"],
            ["a", "b"],
            ["a", "b", "c"],
        ]


async def test_what_happens_while_the_receiver_is_slow_is_told_together(
    autojump_clock: MockClock,
) -> None:
    receiver = Receiver(takes=3)
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        for number in range(100):
            prediction.output(number)
            prediction.log("x")
            await trio.sleep(0.1)
        prediction.succeed()
        await webhooks.delivered()
    assert receiver.parallel == 1
    counts = [len(output or []) for _, output in receiver.told]
    assert counts == sorted(counts)
    assert [status for status, _ in receiver.told] == ["processing"] * 4 + ["succeeded"]
    assert counts[-1] == 100


async def test_a_start_is_told_even_of_what_is_over_at_once(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = played()
        prediction.start()
        prediction.output("a")
        prediction.succeed()
        webhooks.watch(prediction.job, Webhook(URL, ALL), None)
        await webhooks.delivered()
    assert receiver.told == [("processing", None), ("succeeded", ["a"])]


async def test_output_is_told_in_the_end_if_its_end_is_not_asked_for(
    autojump_clock: MockClock,
) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = played()
        prediction.start()
        prediction.output("a")
        prediction.succeed()
        webhooks.watch(prediction.job, Webhook(URL, frozenset({"output"})), None)
        await webhooks.delivered()
    assert receiver.told == [("succeeded", ["a"])]


async def test_what_never_started_has_no_start(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.job.failed("no worker")
        await webhooks.delivered()
    assert [(each["status"], each["error"]) for each in receiver.taken] == [("failed", "no worker")]


async def test_a_big_output_is_told_whole(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    items = [["x" * 1000, number, None] for number in range(500)]
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks, frozenset({"completed"}))
        prediction.start()
        for item in items:
            assert prediction.job.prediction.add_output(item, 1010)
        prediction.succeed()
        await webhooks.delivered()
    assert receiver.told == [("succeeded", items)]


async def test_who_is_told_is_no_reader_of_the_stream(autojump_clock: MockClock) -> None:
    receiver = Receiver()
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        await wait_all_tasks_blocked()
        assert prediction.job.followers == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "ftp://host/",
        "http://",
        "http://[::1",
        "http://h:x/",
        "http://h\n/",
        "http://xn--a/",
    ],
)
async def test_what_is_no_url_is_only_logged(autojump_clock: MockClock, url: str) -> None:
    receiver = Receiver()
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            prediction = await watched(webhooks, url=url)
            prediction.start()
            prediction.succeed()
            await webhooks.delivered()
    (entry,) = logs
    assert (entry["log_level"], entry["prediction_id"]) == ("warning", "p1")
    assert entry["event"].startswith("Webhook ignored")
    assert receiver.begun == []


# --- failures ---------------------------------------------------------------------------------


async def test_what_is_not_the_end_is_tried_once(autojump_clock: MockClock) -> None:
    receiver = Receiver(outcomes=[DOWN, DOWN])
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            prediction = await watched(webhooks)
            prediction.start()
            await trio.sleep(1)
            prediction.output("a")
            await trio.sleep(100)
            assert len(receiver.begun) == 2
            prediction.succeed()
            await webhooks.delivered()
    assert receiver.told == [("succeeded", ["a"])]
    (entry,) = logs  # once for each prediction
    assert entry == {
        "event": "Webhook not delivered",
        "log_level": "warning",
        "prediction_id": "p1",
        "host": "receiver.example",
        "reason": "it answered 503",
    }


async def test_the_end_is_tried_until_it_is_taken_and_then_no_more(
    autojump_clock: MockClock,
) -> None:
    receiver = Receiver(outcomes=[DOWN] * 8)
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks, frozenset({"completed"}))
        prediction.start()
        prediction.succeed()
        await trio.sleep(10_000)
    assert len(receiver.taken) == 1
    assert len({message.id for _, message in receiver.begun}) == 1
    assert receiver.pauses == [pytest.approx(0.1 * 2**n, rel=0.2) for n in range(8)]


async def test_the_end_is_given_up_after_the_last_try(autojump_clock: MockClock) -> None:
    receiver = Receiver(always=DOWN)
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            prediction = await watched(webhooks, frozenset({"completed"}))
            prediction.start()
            prediction.succeed()
            await trio.sleep(10_000)
    assert len(receiver.begun) == TRIES_MAX == 13
    assert max(receiver.pauses) <= 0.1 * 2**10 * 1.2
    assert [entry["event"] for entry in logs] == [
        "Webhook not delivered yet; it is tried again",
        "Webhook given up",
    ]
    assert logs[1]["log_level"] == "error"
    assert logs[1]["tries"] == 13
    assert "hunter" not in repr(logs)


async def test_what_no_other_try_can_help_is_given_up_at_once(autojump_clock: MockClock) -> None:
    receiver = Receiver(always=Outcome("it answered 404"))
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            prediction = await watched(webhooks, frozenset({"completed"}))
            prediction.start()
            prediction.succeed()
            await trio.sleep(10_000)
    assert len(receiver.begun) == 1
    assert (logs[0]["event"], logs[0]["reason"]) == ("Webhook given up", "it answered 404")


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (0.0, 0.1), (1e9, 120.0)])
async def test_a_receiver_may_ask_for_time(
    autojump_clock: MockClock, asked: float, waited: float
) -> None:
    receiver = Receiver(outcomes=[evolve(DOWN, retry_after=asked)])
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks, frozenset({"completed"}))
        prediction.start()
        prediction.succeed()
        await trio.sleep(1000)
    assert receiver.pauses == [pytest.approx(waited, rel=0.2)]


async def test_a_hanging_receiver_of_progress_delays_the_end_only_a_little(
    autojump_clock: MockClock,
) -> None:
    receiver = Receiver(takes=30)
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        await trio.sleep(1)
        prediction.succeed()
        await webhooks.delivered()
    assert receiver.pauses == [pytest.approx(1 + LAST_PROGRESS)]
    assert receiver.told == [("succeeded", [])]


@pytest.mark.parametrize("events", [ALL, {"completed"}])
async def test_an_error_of_ours_ends_one_webhook_and_nothing_else(
    autojump_clock: MockClock, events: frozenset[str]
) -> None:
    class Broken(Receiver):
        async def post(self, message: Message) -> Outcome:
            if b"p1" in message.body:
                raise RuntimeError(f"never thought of: {message.url}")
            return await super().post(message)

    receiver = Broken()
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            for name in ("p1", "p2"):
                prediction = await watched(webhooks, frozenset(events), name)
                prediction.start()
                prediction.succeed()
            await webhooks.delivered()
    assert receiver.told[-1] == ("succeeded", [])
    assert {each["id"] for each in receiver.taken} == {"p2"}
    (entry,) = logs
    assert (entry["log_level"], entry["prediction_id"]) == ("error", "p1")
    assert entry["event"].startswith("Webhook given up")
    assert "test_webhooks.py" in entry["exception"]
    assert entry["exception"].endswith("RuntimeError")
    assert "hunter" not in repr(logs)


# --- bounds -----------------------------------------------------------------------------------


async def finished(webhooks: Webhooks, *sizes: int) -> None:
    """Predictions that end one after the other."""
    for number, size in enumerate(sizes):
        prediction = await watched(webhooks, frozenset({"completed"}), f"p{number}")
        prediction.start()
        assert prediction.job.prediction.add_output("x" * size, size)
        prediction.succeed()
        await wait_all_tasks_blocked()


async def test_the_oldest_make_place_when_too_many_wait(autojump_clock: MockClock) -> None:
    receiver = Receiver(takes=20)
    with capture_logs() as logs:
        async with sending(receiver, webhook_pending=3) as webhooks:
            await finished(webhooks, 1, 1, 1, 1, 1)
            await trio.sleep(60)
    assert sorted(each["id"] for each in receiver.taken) == ["p2", "p3", "p4"]
    assert [entry["prediction_id"] for entry in logs] == ["p0", "p1"]
    assert {entry["log_level"] for entry in logs} == {"error"}
    assert "--webhook-pending" in logs[0]["event"]


async def test_the_oldest_make_place_when_too_much_waits(autojump_clock: MockClock) -> None:
    receiver = Receiver(takes=20)
    with capture_logs() as logs:
        async with sending(receiver, webhook_bytes=10_000) as webhooks:
            await finished(webhooks, 4000, 4000, 4000, 50_000)
            await trio.sleep(60)
    assert [each["id"] for each in receiver.taken] == ["p3"]  # the newest, whatever it weighs
    assert [entry["prediction_id"] for entry in logs] == ["p0", "p1", "p2"]


async def test_nothing_but_the_message_is_kept_of_what_is_over(autojump_clock: MockClock) -> None:
    receiver = Receiver(always=DOWN)
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        job = weakref.ref(prediction.job.prediction)
        prediction.start()
        await trio.sleep(1)
        prediction.succeed()
        await trio.sleep(1)
        del prediction
        gc.collect()
        assert job() is None
        assert receiver.taken == []


# --- the end of the program -------------------------------------------------------------------


async def test_at_the_end_nobody_waits_long_for_another_try(autojump_clock: MockClock) -> None:
    receiver = Receiver(outcomes=[evolve(DOWN, retry_after=100.0), *[DOWN] * 6])
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks, frozenset({"completed"}))
        prediction.start()
        prediction.succeed()
        await trio.sleep(50)
        assert receiver.taken == []
        webhooks.hurry()
        with trio.fail_after(7):
            await webhooks.delivered()
    assert receiver.told == [("succeeded", [])]


@pytest.mark.parametrize("hurried_first", [True, False])
async def test_at_the_end_slow_progress_does_not_keep_the_end_from_being_told(
    autojump_clock: MockClock, hurried_first: bool
) -> None:
    """Whether the prediction ends in the drain, or has ended just before."""
    receiver = Receiver(takes=3)
    async with sending(receiver) as webhooks:
        prediction = await watched(webhooks)
        prediction.start()
        await trio.sleep(1)
        if hurried_first:
            webhooks.hurry()
            await trio.sleep(1)
        prediction.succeed()
        if not hurried_first:
            await trio.sleep(1)
            webhooks.hurry()
        await wait_all_tasks_blocked()
        assert len(receiver.begun) == 1
        await webhooks.delivered()
    assert receiver.pauses == [pytest.approx(2 + LAST_PROGRESS_HURRIED)]
    assert Times().last_answers / 2 > LAST_PROGRESS_HURRIED
    assert receiver.told == [("succeeded", [])]


@pytest.mark.parametrize("ticks", range(8))
async def test_a_watch_does_not_fail_whenever_the_end_comes(ticks: int) -> None:
    """Also when no task is left, and the service has not come to know of it yet."""
    receiver = Receiver()

    async def open_receiver(_: Config) -> Receiver:
        await trio.lowlevel.checkpoint()
        return receiver

    webhooks = Webhooks(Config("m.py"), Telemetry(), open_receiver)
    async with trio.open_nursery() as nursery:
        await nursery.start(webhooks.run)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            webhooks.watch(played().job, Webhook(URL, ALL), None)
    await webhooks.delivered()
    assert receiver.begun == []


async def test_what_is_not_delivered_before_the_end_is_named(autojump_clock: MockClock) -> None:
    receiver = Receiver(always=DOWN)
    with capture_logs() as logs:
        async with sending(receiver) as webhooks:
            for name in ("p1", "p2"):
                prediction = await watched(webhooks, frozenset({"completed"}), name)
                prediction.start()
                prediction.succeed()
            webhooks.hurry()
            with trio.move_on_after(100):
                await webhooks.delivered()
            assert max(receiver.pauses) <= 1
            assert receiver.begun[-1][0] > 98  # it is tried as long as there is time
            del logs[:]
            webhooks.give_up()
    assert [(entry["log_level"], entry["prediction_id"]) for entry in logs] == [
        ("error", "p1"),
        ("error", "p2"),
    ]
    assert "hunter" not in repr(logs)


async def test_with_nothing_to_tell_the_end_is_not_delayed(autojump_clock: MockClock) -> None:
    async with sending(Receiver()) as webhooks:
        with trio.fail_after(0.1):
            await webhooks.delivered()
