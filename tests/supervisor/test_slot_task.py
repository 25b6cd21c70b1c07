"""One slot: sending, cancelling, what a prediction brings, and lies."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from protocol.framing import encode_frame
from protocol.spill import read_spill, write_spill
from supervisor.allocator import Allocator
from supervisor.config import Limits, Times
from supervisor.control_channel import ControlChannel
from supervisor.ending import Cause
from supervisor.incarnation import WorkerContext
from supervisor.interface import AtCapacity, PredictionStatus
from supervisor.job import TRIES_MAX
from supervisor.model_schema import ModelSchema
from supervisor.slot_task import SlotTask
from supervisor.telemetry import Telemetry
from tests.supervisor.fake_worker import CRASHED, EXITED, FakeWorker, Life, ending, living

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from supervisor.job import Job

S = PredictionStatus
OUT = m.LogSource.STDOUT


# --- cancel -----------------------------------------------------------------------------------


async def test_a_cancel_names_its_prediction_and_is_sent_once(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        assert job.prediction.input is None, "it was sent, and may be large or secret"
        job.cancel()
        job.cancel()
        assert await worker.channel.receive() == m.Cancel(worker.slot_ids[0], id="p1")
        with trio.move_on_after(4.9) as nothing_more:
            await worker.channel.receive()
        assert nothing_more.cancelled_caught
        assert job.view().status is S.PROCESSING, "only the worker can say that it stopped"
        await worker.slots[0].say(m.LogLine(OUT, "cleaning up\n"), m.Cancelled("p1"))
        view = await ending(job)
        assert (view.status, view.error, view.output) == (S.CANCELED, None, None)
        assert view.logs == "cleaning up\n"
        assert view.metrics["predict_time"] == pytest.approx(4.9)
        await worker.idle()
        await wait_all_tasks_blocked()
        again = life.submit("p2")
        assert (await worker.slots[0].receive()).id == "p2"
        await worker.done("p2")
        assert (await ending(again)).status is S.SUCCEEDED


async def test_a_foreign_worker_is_told_again_until_the_terminal_message_and_never_after(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, foreign=True)
    times: list[float] = []
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        begin = trio.current_time()
        job.cancel()
        for _ in range(4):
            assert await worker.channel.receive() == m.Cancel(worker.slot_ids[0])
            times.append(trio.current_time() - begin)
        await worker.slots[0].say(m.Cancelled("p1"))
        assert (await ending(job)).status is S.CANCELED
        with trio.move_on_after(4.0) as nothing_more:
            await worker.channel.receive()
        assert nothing_more.cancelled_caught
    assert times == pytest.approx([0.0, 0.2, 0.4, 0.6])


@pytest.mark.parametrize("foreign", [False, True])
async def test_a_cancel_that_came_too_late(
    autojump_clock: MockClock, tmp_path: Path, foreign: bool
) -> None:
    worker = FakeWorker(tmp_path, foreign=foreign)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        job.cancel()
        await worker.slots[0].say(m.OutputChunk("done"), m.Done("p1", 0.1))
        view = await ending(job)
        assert (view.status, view.output) == (S.SUCCEEDED, "done")
        job.cancel()
        assert job.view() == view


async def test_a_job_that_waits_is_canceled_without_its_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, queue=1) as life:
        await worker.set_up()
        running, waiting = life.submit("p1"), life.submit("p2")
        await worker.slots[0].receive()
        waiting.cancel()
        assert waiting.view().status is S.CANCELED
        await worker.done("p1")
        assert (await ending(running)).status is S.SUCCEEDED
        assert life.allocator.has_room
        with trio.move_on_after(1.0) as nothing:
            await worker.slots[0].receive()
        assert nothing.cancelled_caught


async def test_a_job_that_is_canceled_on_its_way_to_the_slot_is_not_sent(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit("p1")
        job.cancel()
        assert (await ending(job)).status is S.CANCELED
        await wait_all_tasks_blocked()
        assert life.allocator.has_room
        life.submit("p2")
        assert (await worker.slots[0].receive()).id == "p2"
    assert os.listdir(tmp_path) == ["0-1"], "no folder was made for what was not sent"


async def test_a_cancel_that_is_not_obeyed_costs_the_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker, queue=1, times=Times(cancel_grace=5.0)) as life:
        await worker.set_up()
        stuck, neighbour, waiting = life.submit("stuck"), life.submit("nb"), life.submit("w")
        index = (await worker.running())["stuck"]
        begin = trio.current_time()
        stuck.cancel()
        end = await life.end()
        # Its own grace, then the same for the neighbours to stop, then that of `Shutdown`.
        assert trio.current_time() - begin == pytest.approx(5.0 + 5.0 + 2.0)
        reason = f"it is stuck: slot {index} did not stop within 5 s of its cancel"
        assert (end.cause, end.reason()) == (Cause.STUCK, reason)
        view = neighbour.view()
        assert (view.status, view.error) == (S.FAILED, f"Worker crashed: {reason}")
        assert stuck.view().status is S.CANCELED, "it was asked for, and nothing of it runs"
        assert waiting.view().status is S.STARTING
        assert life.allocator.waiting == 1


async def test_a_neighbour_that_stops_says_why_it_was_stopped(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        stuck, neighbour = life.submit("stuck"), life.submit("nb")
        where = await worker.running()
        stuck.cancel()
        assert (await worker.channel.receive()).id == "stuck"
        assert (await worker.channel.receive()).id == "nb"
        await worker.slots[where["nb"]].say(m.Cancelled("nb"))
        view = await ending(neighbour)
    assert view.status is S.FAILED
    assert view.error.startswith("Worker crashed: it is stuck: slot")


async def test_a_model_that_cancels_itself_is_canceled(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].say(m.Cancelled("p1"))
        assert (await ending(job)).status is S.CANCELED


async def test_a_worker_that_dies_while_it_is_told_to_stop(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        begin = trio.current_time()
        job.cancel()
        await worker.channel.receive()
        worker.die(CRASHED)
        assert (await ending(job)).status is S.CANCELED
        assert (await life.end()).reason() == "killed by SIGSEGV"
        assert trio.current_time() == begin, "nobody waits for the dead"


@pytest.mark.parametrize("message", ["terminal", "idle"])
@pytest.mark.parametrize("_time", range(10))  # each time either task may run first
async def test_what_came_while_we_stood_still_ourselves_is_not_late(
    autojump_clock: MockClock, tmp_path: Path, message: str, _time: int
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit("p1")
        await worker.slots[0].receive()
        job.cancel()
        await worker.channel.receive()
        # Between a message and the jump of the clock nobody runs. To read so many takes turns.
        await worker.slots[0].say(*[m.LogLine(OUT, "line\n")] * 100, m.Cancelled("p1"))
        if message == "terminal":
            autojump_clock.jump(Times().cancel_grace)
        assert (await ending(job)).status is S.CANCELED
        await worker.idle()
        if message == "idle":
            autojump_clock.jump(Times().idle_grace)
        await wait_all_tasks_blocked()
        life.submit("p2")
        assert (await worker.slots[0].receive()).id == "p2"


# --- sending ----------------------------------------------------------------------------------


async def test_a_worker_that_does_not_read_loses_the_job_but_the_job_is_not_lost(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, times=Times(idle_grace=5.0)) as life:
        await worker.set_up()
        worker.slots[0].block_writes()
        begin = trio.current_time()
        job = life.submit()
        end = await life.end()
        assert trio.current_time() - begin == pytest.approx(5.0 + 2.0)
        assert (end.cause, end.reason()) == (Cause.STUCK, "it is stuck: slot 0 does not read")
        view = job.view()
        assert (view.status, view.started_at) == (S.STARTING, None)
        assert job.prediction.input == {"text": "hi"}
        assert life.allocator.waiting == 1
    await run_again(life, job, tmp_path)


@pytest.mark.parametrize(
    ("meanwhile", "status", "error"),
    [
        (
            "nothing",
            S.FAILED,
            (
                "The prediction could not be handed to a worker, 3 times. The last time it is "
                "stuck: slot 0 does not read"
            ),
        ),
        ("cancel", S.CANCELED, None),
        ("shutdown", S.FAILED, "The server was shut down before the prediction ended"),
    ],
)
async def test_a_prediction_that_no_worker_takes_ends_after_three(
    autojump_clock: MockClock, tmp_path: Path, meanwhile: str, status: S, error: str | None
) -> None:
    job = None
    for number in range(TRIES_MAX):
        run_dir = tmp_path / str(number)
        run_dir.mkdir()
        worker = FakeWorker(run_dir)
        async with living(worker) as life:
            await worker.set_up()
            worker.slots[0].block_writes()
            if job is None:
                job = life.submit()
            else:
                assert (job.view().status, job.tries) == (S.STARTING, number)
                life.allocator.put_back(job)
            if number < TRIES_MAX - 1:
                await life.end()
                assert life.allocator.withdraw(job)  # In life there is one allocator.
                continue
            await wait_all_tasks_blocked()
            if meanwhile == "cancel":
                job.cancel()
            elif meanwhile == "shutdown":
                life.scope.cancel()
            await ending(job)
    assert job is not None
    assert (job.view().status, job.view().error) == (status, error)


async def run_again(life: Life, job: Job, run_dir: Path) -> None:
    """What was put back runs in the next worker as if nothing had been."""
    os.rename(run_dir / "0-1", run_dir / "of the first worker")
    worker = FakeWorker(run_dir)
    async with living(worker) as successor:
        await worker.set_up()
        assert life.allocator.withdraw(job)
        successor.allocator.put_back(job)
        assert (await worker.slots[0].receive()).id == job.prediction.id
        await worker.done(job.prediction.id)
        assert (await ending(job)).status is S.SUCCEEDED


async def test_a_cancel_waits_until_the_prediction_was_written_whole(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].delay_writes(2.0)
        begin = trio.current_time()
        job = life.submit()
        await trio.sleep(1)
        job.cancel()
        assert (await worker.channel.receive()).id == "p1"
        assert trio.current_time() - begin == pytest.approx(2.0)
        assert (await worker.slots[0].receive()).id == "p1"
        await worker.slots[0].say(m.Cancelled("p1"))
        assert (await ending(job)).status is S.CANCELED


async def test_a_job_that_could_not_be_sent_and_is_not_wanted_any_more(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].block_writes()
        job = life.submit()
        await trio.sleep(1)
        job.cancel()
        assert (await ending(job)).status is S.CANCELED
        await life.end()
        assert life.allocator.waiting == 0


async def test_a_write_to_a_dead_worker_is_not_its_cause_of_death(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        running = life.submit("running")
        await wait_all_tasks_blocked()
        for slot in worker.slots:
            slot.break_writes()
        unsent = life.submit("unsent")
        await wait_all_tasks_blocked()
        worker.die(CRASHED)
        view = await ending(running)
        assert (await life.end()).reason() == "killed by SIGSEGV"
        assert view.error.startswith("Worker crashed: killed by SIGSEGV")
        assert unsent.view().status is S.STARTING
        assert life.allocator.waiting == 1


@pytest.mark.parametrize("how", ["poisoned", "ended by a lie"])
async def test_a_prediction_that_ends_while_it_is_being_sent(
    autojump_clock: MockClock, tmp_path: Path, how: str
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].block_writes()
        job = life.submit()
        await wait_all_tasks_blocked()
        if how == "poisoned":
            await worker.say(m.SlotFailed(worker.slot_ids[0], "thread lost"))
        else:
            await worker.slots[0].say(m.Failed("p1", "thread lost"))
        assert (await ending(job)).error == "thread lost"
        assert (await life.end()).reason() == "it is stuck: slot 0 does not read"
        assert life.allocator.waiting == 0


async def test_a_worker_whose_run_folder_is_gone_is_replaced(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    worker = FakeWorker(run_dir)
    async with living(worker) as life:
        await worker.set_up()
        run_dir.rmdir()
        job = life.submit()
        assert (await life.end()).reason() == f"it lost its run folder: {run_dir}"
        assert life.allocator.withdraw_all() == [job]


async def test_what_cannot_be_sent_fails_and_leaves_the_slot_as_it_was(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    worker = FakeWorker(run_dir)
    with capture_logs() as logs:
        async with living(worker) as life:
            await worker.set_up()
            job = life.submit(input={"x": object()})
            view = await ending(job)
            assert view.status is S.FAILED
            assert view.error.startswith("The prediction could not be sent to the worker: ")
            assert [name for *_, files in os.walk(run_dir) for name in files] == []
            life.submit("p2")
            assert (await worker.slots[0].receive()).id == "p2"
    ends = [entry for entry in logs if entry["event"] == "Prediction ended"]
    assert ends[0]["prediction_id"] == "p1"
    assert ends[0]["status"] == "failed"


def slot_alone(tmp_path: Path) -> tuple[SlotTask, Allocator, FakeWorker]:
    """A slot without an incarnation around it."""
    worker = FakeWorker(tmp_path)
    allocator = Allocator(1)
    context = WorkerContext(
        allocator=allocator,
        control=ControlChannel(worker.control, Telemetry()),
        times=Times(),
        telemetry=Telemetry(),
        schema=ModelSchema(None, is_train=False),
        is_foreign=False,
        run_dir=str(tmp_path),
        give_up=lambda cause, detail: pytest.fail(f"{cause}: {detail}"),
        why_ending=lambda: pytest.fail("it does not end"),
    )
    return SlotTask("slot-id-0", 0, worker.slots[0].supervisor_end, context), allocator, worker


@pytest.mark.parametrize("cancelled", [False, True])
async def test_poison_meets_a_job_that_was_just_handed_over(
    autojump_clock: MockClock, tmp_path: Path, cancelled: bool
) -> None:
    slot, allocator, _ = slot_alone(tmp_path)
    life = Life(lambda _config: pytest.fail("never opened"))
    life.allocator = allocator
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slot.run_jobs)
        await wait_all_tasks_blocked()
        job = life.submit()
        slot.poison("thread lost")
        if cancelled:
            job.cancel()
    assert job.view().status is (S.CANCELED if cancelled else S.STARTING)
    assert allocator.withdraw_all() == ([] if cancelled else [job])
    life.submit("p2")
    assert allocator.waiting == 1, "the lost slot is not idle"


async def test_a_poisoned_slot_gets_nothing_from_that_moment_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    slot, allocator, _ = slot_alone(tmp_path)
    life = Life(lambda _config: pytest.fail("never opened"))
    life.allocator = allocator
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slot.run_jobs)
        await wait_all_tasks_blocked()
        slot.poison("thread lost")
        life.submit()
        assert allocator.waiting == 1
        with pytest.raises(AtCapacity):
            life.submit("p2")


# --- what a prediction brings -----------------------------------------------------------------


async def test_logs_metrics_and_outputs_arrive_in_order(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit(context={"k": "v"}, trace=m.Trace("00-1-2-01"))
        predict = await worker.slots[0].receive()
        assert predict.context == {"k": "v"}
        assert predict.trace == m.Trace("00-1-2-01")
        assert predict.input == {"text": "hi"}
        assert predict.input_file is None
        await worker.slots[0].say(
            m.ProtocolVersion(1),
            m.LogLine(OUT, "one\n"),
            m.LogLine(m.LogSource.STDERR, "two"),
            m.Metric("tokens", 2, m.MetricMode.INCREMENT),
            m.Metric("tokens", 3, m.MetricMode.INCREMENT),
            m.Metric("a..b", 3, m.MetricMode.REPLACE),
            m.OutputChunk("a", 0),
        )
        await wait_all_tasks_blocked()
        early = job.view()
        assert (early.logs, early.metrics, early.output) == ("one\ntwo", {"tokens": 5}, ["a"])
        await worker.slots[0].say(m.OutputChunk("b", 1))
        await worker.done("p1")
        assert (await ending(job)).output == ["a", "b"]


async def test_the_words_of_0_19_are_understood_too(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, foreign=True)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        for text in (
            '{"type":"log","source":"stdout","data":"x\\n"}',
            '{"type":"output","output":5}',
        ):
            await worker.slots[0].write(bytes(encode_frame(text.encode())))
        await worker.done("p1")
        view = await ending(job)
        assert (view.logs, view.output) == ("x\n", 5)


ARRAY = {"components": {"schemas": {"Output": {"type": "array"}}}}


@pytest.mark.parametrize(
    ("schema", "is_stream", "output"),
    [(None, False, "only"), (None, True, ["only"]), (ARRAY, False, ["only"])],
)
async def test_when_an_output_is_a_list(
    autojump_clock: MockClock,
    tmp_path: Path,
    schema: dict[str, Any] | None,
    is_stream: bool,
    output: object,
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up(schema=schema)
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].say(m.OutputChunk("only"), m.Done("p1", 0.1, is_stream))
        assert (await ending(job)).output == output


async def test_a_failure_in_the_models_words(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].say(m.LogLine(OUT, "hm\n"), m.Failed("p1", "ValueError: boom"))
        view = await ending(job)
        assert (view.status, view.error, view.logs) == (S.FAILED, "ValueError: boom", "hm\n")


async def test_too_much_output_is_stopped_and_fails_naming_the_limit(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, limits=Limits(max_output=1000)) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        for _ in range(5):
            await worker.slots[0].say(m.OutputChunk("x" * 400))
        assert await worker.channel.receive() == m.Cancel(worker.slot_ids[0], id="p1")
        await worker.slots[0].say(m.Cancelled("p1"))
        view = await ending(job)
        assert view.status is S.FAILED
        assert view.error == "Output is larger than 1000 bytes (--max-output)"
        assert view.output is None
        await worker.idle()
        await wait_all_tasks_blocked()
        assert life.allocator.has_room


async def test_logs_are_bounded(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, limits=Limits(max_logs=100)) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].say(*[m.LogLine(OUT, f"line {number}\n") for number in range(500)])
        await worker.done("p1")
        logs = (await ending(job)).logs
    assert logs.startswith("line 0\n")
    assert logs.endswith("line 499\n")
    assert "BYTES OF LOGS DROPPED (--max-logs)" in logs
    assert len(logs) < 250


# --- lies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lie", [m.Done("p2", 0.1), m.Failed("p2", "no"), m.Cancelled("p2")])
async def test_a_terminal_message_of_another_prediction_breaks_the_protocol(
    autojump_clock: MockClock, tmp_path: Path, lie: m.SlotResponse
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit("p1")
        await worker.slots[0].receive()
        await worker.slots[0].say(lie)
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert "slot 0, frame at byte 0: " in end.reason()
    assert f"{type(lie).__name__} for 'p2', but the prediction is 'p1'" in end.reason()
    assert job.view().status is S.FAILED


@pytest.mark.parametrize(
    "lie",
    [
        m.Done("p1", 0.1),
        m.OutputChunk(1),
        m.Metric("n", 1, m.MetricMode.REPLACE),
        m.FileOutput("/etc/passwd", m.FileKind.FILE),
    ],
)
@pytest.mark.parametrize("before", [True, False])
async def test_a_result_without_a_prediction_breaks_the_protocol(
    autojump_clock: MockClock, tmp_path: Path, lie: m.SlotResponse, before: bool
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        if not before:
            life.submit("p1")
            await worker.slots[0].receive()
            await worker.done("p1")
        await worker.slots[0].say(lie)
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert f"{type(lie).__name__} on a slot without a prediction" in end.reason()


async def test_a_log_line_after_its_prediction_is_no_lie(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with living(worker) as life:
            await worker.set_up()
            job = life.submit()
            await worker.slots[0].receive()
            await worker.done("p1")
            await worker.slots[0].say(m.LogLine(OUT, "from a thread\n"))
            await wait_all_tasks_blocked()
            assert life.allocator.has_room
    assert job.view().logs == ""
    assert "from a thread" in [entry["event"] for entry in logs]


# --- files (in real time: they are read in threads, which a clock that jumps does not wait for) --


async def test_the_prediction_has_a_private_folder_as_long_as_it_runs(tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit("../../etc")
        predict = await worker.slots[0].receive()
        outputs = predict.output_dir
        assert os.path.dirname(os.path.dirname(outputs)) == str(tmp_path), "ids are no paths"
        assert stat.S_IMODE(os.stat(os.path.dirname(outputs)).st_mode) == 0o700
        (tmp_path / outputs / "left behind.bin").write_bytes(b"x")
        await worker.slots[0].say(m.Done("../../etc", 0.1))
        await ending(job)
        await worker.slots[0].say(m.LogLine(OUT, "read only after the folder has gone"))
        with trio.fail_after(30):
            while os.listdir(tmp_path):
                await trio.lowlevel.checkpoint()
        worker.die(EXITED)


async def test_a_large_input_and_a_large_output_travel_in_files(tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    large = {"text": "ä" * 4_000_000}
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit(input=large)
        predict = await worker.slots[0].receive()
        assert predict.input is None
        assert predict.input_file is not None
        folder = os.path.dirname(predict.input_file)
        assert folder == os.path.join(os.path.dirname(predict.output_dir), "inputs")
        assert read_spill(folder, predict.input_file).decode() == f'{{"text":"{large["text"]}"}}'
        path = write_spill(predict.output_dir, b'{"answer":[1,2]}')
        await worker.slots[0].say(
            m.OutputChunk("first", 0), m.FileOutput(path, m.FileKind.OVERSIZED)
        )
        await worker.done("p1")
        assert (await ending(job)).output == ["first", {"answer": [1, 2]}]
        assert not await trio.Path(path).exists()
        worker.die(EXITED)


@pytest.mark.parametrize("files", [None, {"/0": "/a.txt"}])
async def test_a_value_that_is_being_read_when_its_slot_is_poisoned_is_dropped(
    tmp_path: Path, files: dict[str, str] | None
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    threads = trio.to_thread.current_default_thread_limiter()
    async with living(worker) as life:
        await worker.set_up()
        jobs = {name: life.submit(name) for name in ("p1", "p2")}
        predict = await worker.slots[0].receive()
        job = jobs.pop(predict.id)
        other_id = (await worker.slots[1].receive()).id
        path = write_spill(predict.output_dir, b"[null]")
        threads.total_tokens = 1
        await threads.acquire_on_behalf_of(worker)
        await worker.slots[0].say(m.FileOutput(path, m.FileKind.OVERSIZED, files=files))
        await wait_all_tasks_blocked()
        await worker.say(m.SlotFailed(worker.slot_ids[0], "thread lost"))
        view = await ending(job)
        events = job.events
        threads.release_on_behalf_of(worker)
        async with threads:  # its turn is behind the reading thread's
            await wait_all_tasks_blocked()
        assert job.view() == view
        assert (view.error, view.output, job.events) == ("thread lost", None, events)
        await worker.slots[1].say(m.OutputChunk("whole", 0))
        await worker.done(other_id, index=1)
        assert (await ending(jobs[other_id])).output == "whole"
        life.submit("p3")
        with trio.fail_after(30):
            assert (await worker.slots[1].receive()).id == "p3", "the worker lives on"
        worker.die(EXITED)


async def test_a_file_becomes_a_data_url_in_its_place(tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        predict = await worker.slots[0].receive()
        path = os.path.join(predict.output_dir, "a.txt")
        await trio.Path(path).write_text("hi")
        await worker.slots[0].say(
            m.OutputChunk("before", 0),
            m.FileOutput(path, m.FileKind.FILE),
            m.OutputChunk("after", 1),
            m.Done("p1", 0.1),
        )
        view = await ending(job)
        assert view.output == ["before", "data:text/plain;base64,aGk=", "after"]
        worker.die(EXITED)


@pytest.mark.parametrize("foreign", [False, True])
async def test_where_a_file_may_lie(tmp_path: Path, foreign: bool) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    elsewhere = tmp_path / "out.txt"
    elsewhere.write_text("hi")
    worker = FakeWorker(run_dir, foreign=foreign)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].say(m.FileOutput(str(elsewhere), m.FileKind.FILE))
        if not foreign:
            assert isinstance(await worker.channel.receive(), m.Cancel)
        await worker.slots[0].say(m.Done("p1", 0.1))
        view = await ending(job)
        worker.die(EXITED)
    if foreign:
        assert view.output == "data:text/plain;base64,aGk="
    else:
        assert view.status is S.FAILED
        assert str(elsewhere) in view.error


@pytest.mark.parametrize("name", ["missing.png", "nul\0.png"])
async def test_a_file_that_cannot_be_had_fails_its_prediction_and_nothing_else(
    tmp_path: Path, name: str
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        predict = await worker.slots[0].receive()
        path = os.path.join(predict.output_dir, name)
        await worker.slots[0].say(
            m.OutputChunk("kept?", 0), m.FileOutput(path, m.FileKind.FILE), m.OutputChunk("late", 1)
        )
        assert (await worker.channel.receive()).id == "p1"
        await worker.done("p1")
        view = await ending(job)
        assert view.status is S.FAILED
        assert repr(path) in view.error
        assert view.output is None
        life.submit("p2")
        assert (await worker.slots[0].receive()).id == "p2"
        worker.die(EXITED)


BIG = {"x": "y" * 100_000}


async def test_a_big_input_may_be_read_late(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].delay_writes(100)  # its loop is busy with a neighbour's prediction
        job = life.submit(input=BIG)
        assert isinstance(await worker.slots[0].receive(), m.Predict)
        await worker.slots[0].say(m.Done("p1", 0.1))
        assert (await ending(job)).status is S.SUCCEEDED


async def test_a_big_input_that_is_never_read(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].block_writes()
        job = life.submit(input=BIG)
        await trio.sleep(1000)
        assert job.view().status is S.PROCESSING
        job.cancel()
        assert (await ending(job)).status is S.CANCELED
        assert (await life.end()).reason() == "it is stuck: slot 0 does not read"


async def test_a_big_input_when_the_worker_has_to_end(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.slots[0].block_writes()
        job = life.submit(input=BIG)
        await wait_all_tasks_blocked()
        await worker.say(m.Fatal("no memory"))
        assert (await life.end()).reason() == "no memory"
        assert life.allocator.withdraw_all() == [job]
