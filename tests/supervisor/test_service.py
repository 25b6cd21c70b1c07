"""The one door: what is accepted, what is refused and in which order, and the drain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from supervisor.checked_input import check_input
from supervisor.form_inputs import FormField
from supervisor.input_identity import input_identity
from supervisor.interface import (
    OFF_THE_LOOP,
    AtCapacity,
    DuplicateId,
    HealthState,
    InvalidInput,
    NotReady,
    PredictionRequest,
    PredictionStatus,
    Refusal,
    SetupStatus,
)
from supervisor.prediction_ids import check_id
from tests.supervisor.fake_worker import CRASHED, FakeWorker, Obedient, ending
from tests.supervisor.served import Served, serving

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from supervisor.interface import CheckedInput
    from supervisor.model_schema import InputSchema

S = PredictionStatus
SCHEMA = {
    "components": {
        "schemas": {
            "Input": {
                "type": "object",
                "required": ["text"],
                "properties": {
                    "text": {"type": "string"},
                    "key": {"type": "string", "x-cog-secret": True},
                    "seed": {"type": "integer", "nullable": True},
                },
            }
        }
    }
}


def refusal(served: Served, prediction_id: str | None = None, **values: Any) -> Refusal:
    """Why a prediction is not accepted."""
    with pytest.raises(Refusal) as caught:
        served.ask(prediction_id, **values)
    return caught.value


def assert_duplicate(error: Refusal, prediction_id: str) -> None:
    assert isinstance(error, DuplicateId)
    assert error.id == prediction_id


# --- accepting --------------------------------------------------------------------------------


async def test_from_acceptance_to_the_answer(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up()
        request = PredictionRequest({"text": "hi"}, "p1", {"k": "v"}, m.Trace("00-1-2-01"))
        job = served.service.submit(request)
        assert served.service.find("p1") is job
        predict = await worker.slots[0].receive()
        assert (predict.id, predict.context, predict.trace) == (
            "p1",
            request.context,
            request.trace,
        )
        await worker.done("p1")
        assert (await ending(job)).status is S.SUCCEEDED
        assert served.service.find("p1") is None


async def test_an_id_is_made_for_who_has_none(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker, queue=20) as served:
        await worker.set_up()
        jobs = [served.ask() for _ in range(20)]
        ids = {job.view().id for job in jobs}
        assert len(ids) == 20
        for prediction_id in ids:
            assert check_id(prediction_id) is None
            assert served.service.find(prediction_id) in jobs


async def test_an_input_is_cleaned_and_its_secrets_are_never_shown(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with serving(worker) as served:
            await worker.set_up(schema=SCHEMA)
            job = served.ask("p1", key="hunter2", unknown=5)
            shown = {"text": "hi", "key": "**********", "seed": None}
            assert job.view().input == shown
            predict = await worker.slots[0].receive()
            assert predict.input == {"text": "hi", "key": "hunter2", "seed": None}
            await wait_all_tasks_blocked()
            assert job.view().input == shown
            await worker.done("p1")
            assert (await ending(job)).input == shown
    (dropped,) = [entry for entry in logs if entry["event"] == "Stripped unknown input fields"]
    assert dropped["fields"] == ["unknown"]
    assert dropped["prediction_id"] == "p1"
    assert "hunter2" not in repr(logs)


async def test_a_training_is_checked_as_one(autojump_clock: MockClock, tmp_path: Path) -> None:
    steps = {"steps": {"type": "integer"}, "token": {"type": "string", "x-cog-secret": True}}
    inputs = SCHEMA["components"]["schemas"] | {"TrainingInput": {"properties": steps}}
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(schema={"components": {"schemas": inputs}})
        sent = {"steps": 1, "token": "hunter2", "text": "unknown to trainings"}
        job = served.service.submit(PredictionRequest(sent, "t1", is_training=True))
        assert job.view().input == {"steps": 1, "token": "**********"}
        predict = await worker.slots[0].receive()
        assert predict.input == {"steps": 1, "token": "hunter2"}
        with pytest.raises(InvalidInput):
            served.service.submit(PredictionRequest({"steps": "a"}, is_training=True))
        with pytest.raises(InvalidInput):
            served.service.submit(PredictionRequest({"steps": 1}))


@pytest.mark.parametrize(("queue", "waited"), [(0, None), (1, 0.0)])
async def test_the_time_of_waiting_is_told_where_there_is_a_queue(
    autojump_clock: MockClock, tmp_path: Path, queue: int, waited: float | None
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker, queue=queue) as served:
        await worker.set_up()
        job = served.ask("p1")
        await worker.slots[0].receive()
        await worker.done("p1")
        assert (await ending(job)).metrics.get("queue_time") == waited


async def test_a_big_input_is_looked_at_in_a_thread_and_then_no_more(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(schema=SCHEMA)
        small = PredictionRequest({"text": "hi"}, "p1", size=OFF_THE_LOOP - 1)
        assert await served.service.prepare(small) is small
        big = PredictionRequest({"text": "hi", "key": "hunter2", "x": 1}, "p1", size=OFF_THE_LOOP)
        threads: list[str] = []

        def check(raw: dict[str, Any], schema: InputSchema | None) -> CheckedInput:
            threads.append(threading.current_thread().name)
            return check_input(raw, schema)

        monkeypatch.setattr("supervisor.service.check_input", check)
        prepared = await served.service.prepare(big)
        assert prepared.identity == input_identity(big.input)
        job = served.service.submit(prepared)
        assert (len(threads), threads == [threading.current_thread().name]) == (1, False)
        assert job.view().input == {"text": "hi", "key": "**********", "seed": None}
        predict = await worker.slots[0].receive()
        assert predict.input == {"text": "hi", "key": "hunter2", "seed": None}
        await worker.done("p1")
        await ending(job)
        assert served.service.put(prepared) == (job, False)


async def test_what_is_wrong_with_a_big_input_is_said_when_it_is_its_turn(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(schema=SCHEMA)
        job = served.ask("p1")
        wrong = await served.service.prepare(PredictionRequest({}, "p1", size=OFF_THE_LOOP))
        assert served.service.put(wrong) == (job, False)
        with pytest.raises(DuplicateId):
            served.service.submit(wrong)
        with pytest.raises(InvalidInput) as caught:
            served.service.submit(evolve(wrong, id="p2"))
        assert [error.loc for error in caught.value.errors] == [("body", "input", "text")]


async def test_what_was_checked_by_another_schema_is_checked_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        early = await served.service.prepare(PredictionRequest({}, "p1", size=OFF_THE_LOOP))
        await worker.set_up(schema=SCHEMA)
        with pytest.raises(InvalidInput):
            served.service.submit(early)


async def test_a_form_is_read_by_the_models_schema(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        fields = [FormField("text", "1"), FormField("seed", "1")]
        assert served.service.form_input(fields) == {"text": "1", "seed": "1"}
        await worker.set_up(schema=SCHEMA)
        assert served.service.form_input(fields) == {"text": "1", "seed": 1}


async def test_a_form_for_a_training_is_read_by_its_own_schema(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    inputs = {
        "Input": {"properties": {"n": {"type": "string"}}},
        "TrainingInput": {"properties": {"n": {"type": "integer"}}},
    }
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(schema={"components": {"schemas": inputs}})
        assert served.service.form_input([FormField("n", "1")]) == {"n": "1"}
        assert served.service.form_input([FormField("n", "1")], is_training=True) == {"n": 1}


async def test_of_many_dropped_inputs_the_first_are_named(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with serving(worker) as served:
            await worker.set_up(schema=SCHEMA)
            served.ask("p1", **{f"{number:03}" + "x" * 1000: 1 for number in range(100)})
    (dropped,) = [entry for entry in logs if entry["event"] == "Stripped unknown input fields"]
    assert dropped["fields"] == [f"{number:03}" + "x" * 97 for number in range(20)]
    assert dropped["more"] == 80


async def test_one_client_who_asks_again_at_once_is_never_refused(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served, trio.open_nursery() as nursery:
        nursery.start_soon(Obedient(worker, answers=True).run)
        await wait_all_tasks_blocked()
        for _ in range(300):
            assert (await ending(served.ask())).status is S.SUCCEEDED
        nursery.cancel_scope.cancel()


# --- refusing ---------------------------------------------------------------------------------


async def test_refusals_come_in_the_order_of_the_specification(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(schema=SCHEMA)
        served.ask("p1")
        # Every reason at once; each line takes one away.
        served.service.refuse()
        assert isinstance(refusal(served, "../p1", text=5), InvalidInput)
        assert_duplicate(refusal(served, "p1", text=5), "p1")
        invalid = refusal(served, "p2", text=5)
        assert isinstance(invalid, InvalidInput)
        assert invalid.errors[0].loc == ("body", "input", "text")
        assert isinstance(refusal(served, "p2"), NotReady)
    assert isinstance(refusal(served, "p2"), NotReady)


async def test_a_full_house(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with serving(worker, queue=1) as served:
        await worker.set_up()
        jobs = [served.ask(f"p{number}") for number in range(3)]
        assert isinstance(refusal(served, "late"), AtCapacity)
        assert served.service.find("late") is None
        assert isinstance(refusal(served, "late"), AtCapacity), "its id was not taken"
        assert served.service.health().state is HealthState.BUSY
        jobs[2].cancel()
        # Room to wait is not a free slot.
        assert served.service.health().state is HealthState.BUSY
        assert served.ask("late").view().status is S.STARTING


@pytest.mark.parametrize("how", ["succeeded", "canceled"])
async def test_an_id_is_free_again_after_its_end(
    autojump_clock: MockClock, tmp_path: Path, how: str
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker, queue=1) as served:
        await worker.set_up()
        blocker = served.ask("blocker")
        job = served.ask("p1")
        assert_duplicate(refusal(served, "p1"), "p1")
        if how == "canceled":
            job.cancel()
        else:
            for prediction_id in ("blocker", "p1"):
                await worker.slots[0].receive()
                await worker.done(prediction_id)
            await ending(blocker)
        await ending(job)
        again = served.ask("p1")
        assert again is not job
        assert served.service.find("p1") is again


async def test_before_and_after_setup(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        early = refusal(served)
        assert isinstance(early, NotReady)
        assert early.retry_after == 1.0
        assert served.service.openapi() is None
        assert served.service.health().state is HealthState.STARTING
        await worker.set_up(schema=SCHEMA)
        assert served.service.openapi() == SCHEMA
        report = served.service.health()
        assert report.state is HealthState.READY
        assert report.setup is not None
        assert report.setup.status is SetupStatus.SUCCEEDED
        served.ask()


async def test_after_a_failed_setup_everybody_is_told_why(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.say(m.SlotFailed("x", "Setup failed: RuntimeError: no weights"))
        await trio.sleep(60)
        final = refusal(served)
        assert isinstance(final, NotReady)
        assert final.reason.startswith("Setup failed: RuntimeError: no weights. It will not")
        assert final.retry_after is None
        assert served.service.health().state is HealthState.SETUP_FAILED


async def test_while_the_worker_is_restarted(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up()
        worker.die(CRASHED)
        await wait_all_tasks_blocked()
        restarting = refusal(served)
        assert isinstance(restarting, NotReady)
        assert "killed by SIGSEGV" in restarting.reason
        assert restarting.retry_after is not None


# --- health -----------------------------------------------------------------------------------


async def test_the_models_own_healthcheck(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up(healthcheck=True)
        for status, error, state in (
            (m.HealthStatus.HEALTHY, None, HealthState.BUSY),
            (m.HealthStatus.UNHEALTHY, "no GPU", HealthState.UNHEALTHY),
            (m.HealthStatus.HEALTHY, None, HealthState.BUSY),
        ):
            reports = []

            async def check(reports: list[Any]) -> None:
                reports.append(await served.service.check_health())

            async with trio.open_nursery() as nursery:
                nursery.start_soon(check, reports)
                question = await worker.channel.receive()
                if served.service.health().state is HealthState.READY:
                    served.ask()
                await worker.say(m.HealthcheckResult(question.id, status, error))
            assert reports[0].state is state, "as it is when the answer comes"
            assert reports[0].user_healthcheck_error == error
            assert served.service.health().state is HealthState.BUSY, "it is not remembered"


# --- the drain --------------------------------------------------------------------------------


async def test_shutdown_is_requested_once_however_often(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    served = Served(FakeWorker(tmp_path), 0)
    with trio.move_on_after(1) as nobody:
        await served.service.shutdown_requested()
    assert nobody.cancelled_caught
    for _ in range(3):
        served.service.request_shutdown()
    with trio.fail_after(1):
        await served.service.shutdown_requested()


async def test_a_drain_refuses_the_new_and_waits_for_the_accepted(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker, queue=1) as served:
        await worker.set_up()
        running, waiting = served.ask("p1"), served.ask("p2")
        await worker.slots[0].receive()
        served.service.refuse()
        first, second = refusal(served), refusal(served)
        assert isinstance(first, NotReady)
        assert "shutting down" in first.reason
        assert first is not second, "an exception that is raised twice collects tracebacks"
        assert served.service.health().state is HealthState.BUSY
        with trio.move_on_after(60) as too_early:
            await served.service.finished()
        assert too_early.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.service.finished)
            await worker.done("p1")
            assert (await ending(running)).status is S.SUCCEEDED
            assert (await worker.slots[0].receive()).id == "p2"
            await worker.done("p2")
        assert waiting.view().status is S.SUCCEEDED
        with trio.fail_after(0.001):
            await served.service.finished()


async def test_who_drains_is_busy_though_its_slots_are_idle(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up()
        served.service.refuse()
        assert served.service.health().state is HealthState.BUSY


async def test_a_drain_of_nothing_takes_no_time(autojump_clock: MockClock, tmp_path: Path) -> None:
    served = Served(FakeWorker(tmp_path), 0)
    begin = trio.current_time()
    await served.service.finished()
    assert trio.current_time() == begin


# --- asking again -----------------------------------------------------------------------------


async def test_put_again_is_not_run_again(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up()
        request = PredictionRequest({"text": "hi", "seed": 1}, "p1")
        job, is_new = served.service.put(request)
        assert is_new
        other = PredictionRequest({"text": "another"}, "p1")
        assert served.service.put(other) == (job, False), "what is in flight is reported"
        await worker.slots[0].receive()
        await worker.done("p1")
        await ending(job)
        again = PredictionRequest({"seed": 1, "text": "hi"}, "p1")
        assert served.service.put(again) == (job, False)
        assert served.service.find("p1") is None
        assert served.service.recall("p1") is job
        await wait_all_tasks_blocked()
        anew, is_new = served.service.put(other)
        assert is_new
        assert served.service.recall("p1") is anew
        await worker.slots[0].receive()
        await worker.done("p1")
        await ending(anew)
        assert [job.view().input["text"] for job in served.service.page(None, 10)[0]] == ["another"]


async def test_put_of_a_failed_one_runs_anew(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served:
        await worker.set_up()
        request = PredictionRequest({"text": "hi"}, "p1")
        job, _ = served.service.put(request)
        job.cancel()
        await ending(job)
        await wait_all_tasks_blocked()
        assert served.service.put(request)[1]


async def test_pages_are_newest_first(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with serving(worker, queue=5) as served:
        await worker.set_up()
        for name in ("a", "b", "c", "d", "e"):
            served.ask(name)
        first = served.service.find("c")
        assert first is not None
        first.cancel()
        names: list[str] = []
        place = None
        while True:
            page, place = served.service.page(place, 2)
            names += [job.view().id for job in page]
            if place is None:
                break
        assert names == ["e", "d", "c", "b", "a"]
        assert served.service.page(None, 5)[1] is None
