"""One life of the worker: set-up, predictions, and every way in which it ends."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import asdict
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from protocol.framing import encode_frame
from supervisor.config import Times, WorkerOptions
from supervisor.ending import Cause
from supervisor.interface import HealthState, PredictionStatus, SetupStatus
from supervisor.link import SpawnError, WorkerEnd, WorkerEnded
from tests.supervisor.fake_worker import CRASHED, EXITED, FakeWorker, Life, Obedient, ending, living

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from trio.testing import MockClock

    from supervisor.job import Job

S = PredictionStatus


# --- set-up -----------------------------------------------------------------------------------


async def test_init_says_what_to_load_and_where_to_connect(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker, times=Times(cancel_grace=7.0)):
        init = await worker.channel.receive()
        assert init == m.Init(
            "predict.py:Predictor",
            2,
            worker.transport,
            options=asdict(WorkerOptions()) | {"cancel_grace": 7.0 * 0.8},
        )


async def test_ready_opens_the_slots(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    schema = {"openapi": "3.0.2"}
    async with living(worker) as life:
        assert life.health.state(slot_is_free=life.allocator.has_room) is HealthState.STARTING
        assert life.incarnation.schema is None
        await worker.say(m.Log(m.LogSource.STDOUT, "loading\n"))
        await worker.set_up(schema=schema)
        assert life.health.state(slot_is_free=life.allocator.has_room) is HealthState.READY
        assert life.health.setup_report().logs == "loading\n"
        assert life.incarnation.schema is not None
        assert life.incarnation.schema.document == schema


async def test_a_failed_setup_is_final(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.say(m.SlotFailed("x", "Setup failed: RuntimeError: no weights"))
        worker.die(EXITED)
        end = await life.end()
    assert end.cause is Cause.SETUP_FAILED
    assert end.is_final
    assert end.reason() == "Setup failed: RuntimeError: no weights"
    assert end.ready_for is None


async def test_a_failed_setup_is_final_though_the_worker_was_seen_dead_first(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await wait_all_tasks_blocked()
        worker.die(EXITED, keep_open=True)
        await wait_all_tasks_blocked()
        await worker.say(
            m.Log(m.LogSource.STDERR, "Traceback\n"),
            m.SlotFailed("x", "Setup failed: RuntimeError: no weights"),
        )
        worker.close()
        end = await life.end()
        assert life.health.setup_report().logs == "Traceback\n"
    assert end.is_final
    assert end.reason() == "Setup failed: RuntimeError: no weights"


async def test_setup_that_takes_too_long_is_ended_and_may_be_tried_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, times=Times(setup_timeout=30.0)) as life:
        begin = trio.current_time()
        end = await life.end()
        assert trio.current_time() - begin == pytest.approx(30.0 + 2.0)
    assert end.cause is Cause.SETUP_TIMEOUT
    assert not end.is_final
    assert "not ready after 30 s" in end.reason()
    assert worker.end_calls == [2.0]


async def test_without_a_setup_timeout_it_may_take_an_hour(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await trio.sleep(3600)
        await worker.set_up()
        assert life.health.state(slot_is_free=True) is HealthState.READY


@pytest.mark.parametrize("keep_open", [False, True])
async def test_a_worker_that_dies_in_setup_may_be_tried_again(
    autojump_clock: MockClock, tmp_path: Path, keep_open: bool
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await wait_all_tasks_blocked()
        worker.die(CRASHED, keep_open=keep_open)
        end = await life.end()
    assert not end.is_final
    assert end.reason() == "killed by SIGSEGV"
    assert end.ready_for is None


async def test_a_worker_that_dies_before_it_has_connected(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    class NeverConnects(FakeWorker):
        async def accept_slots(self) -> list[trio.abc.Stream]:
            raise WorkerEnded(await self.ended())

    worker = NeverConnects(tmp_path)
    async with living(worker) as life:
        await wait_all_tasks_blocked()
        worker.die(WorkerEnd(1, None, "python: No module named coglet\n"))
        end = await life.end()
    assert end.reason() == "exited with code 1"
    assert end.worker is not None
    assert "No module named coglet" in end.worker.last_words


async def test_a_worker_that_cannot_be_started(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def open_nothing(_config: object) -> AsyncIterator[Any]:
        raise SpawnError("no such interpreter")
        yield

    life = Life(open_nothing)
    end = await life.incarnation.live()
    assert end.cause is Cause.SPAWN_FAILED
    assert not end.is_final
    assert end.reason() == "it could not be started: no such interpreter"
    assert end.worker is None


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "a"], ["a", "b", "c"]])
async def test_the_wrong_number_of_slots_breaks_the_protocol(
    autojump_clock: MockClock, tmp_path: Path, ids: list[str]
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.say(m.Ready(ids))
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert f"ready with {len(ids)} slot ids, not 2" in end.reason()


async def test_ready_twice_breaks_the_protocol(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        await worker.say(worker.ready())
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert "ready, a second time" in end.reason()


# --- predictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("idle_first", [False, True])
async def test_a_prediction_in_both_orders_of_its_last_messages(
    autojump_clock: MockClock, tmp_path: Path, idle_first: bool
) -> None:
    worker = FakeWorker(tmp_path)
    slot = worker.slots[0]
    async with living(worker) as life:
        await worker.set_up()
        for number in range(3):
            job = life.submit(f"p{number}")
            predict = await slot.receive()
            assert predict.id == f"p{number}"
            assert job.view().status is S.PROCESSING
            if idle_first:
                await worker.idle()
                await wait_all_tasks_blocked()
                assert not life.allocator.has_room, "it is still running"
            await slot.say(m.OutputChunk("out"), m.Done(predict.id, 0.1))
            view = await ending(job)
            assert (view.status, view.output) == (S.SUCCEEDED, "out")
            assert life.allocator.has_room
            if not idle_first:
                await worker.idle()
            await wait_all_tasks_blocked()
    assert life.over == ["p0", "p1", "p2"]


async def test_slots_do_not_wait_for_each_other(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        slow, quick = life.submit("slow"), life.submit("quick")
        where = await worker.running()
        await worker.done("quick", where["quick"])
        assert (await ending(quick)).status is S.SUCCEEDED
        another = life.submit("another")
        assert (await worker.slots[where["quick"]].receive()).id == "another"
        await worker.done("another", where["quick"])
        assert (await ending(another)).status is S.SUCCEEDED
        assert slow.view().status is S.PROCESSING
        await worker.done("slow", where["slow"])
        assert (await ending(slow)).status is S.SUCCEEDED


async def test_jobs_that_wait_get_their_turn_in_order(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    obedient = Obedient(worker, answers=True)
    async with living(worker, queue=9) as life, trio.open_nursery() as nursery:
        jobs = [life.submit(f"p{number}") for number in range(9)]
        nursery.start_soon(obedient.run)
        for job in jobs:
            assert (await ending(job)).status is S.SUCCEEDED
        life.scope.cancel()
    assert [predict.id for predict in obedient.predicts] == life.over
    assert life.over == [job.prediction.id for job in jobs]


async def test_a_slot_that_is_not_given_back_ends_the_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker, times=Times(idle_grace=5.0)) as life:
        await worker.set_up()
        job, neighbour = life.submit("p1"), life.submit("neighbour")
        index = (await worker.running())["p1"]
        await worker.slots[index].say(m.Done("p1", 0.1))
        assert (await ending(job)).status is S.SUCCEEDED
        begin = trio.current_time()
        view = await ending(neighbour)
        end = await life.end()
        assert trio.current_time() - begin <= 5.0 + 5.0 + 2.0
    assert end.cause is Cause.STUCK
    assert end.reason() == f"it is stuck: slot {index} was not idle 5 s after its prediction"
    assert view.status is S.FAILED
    assert view.error == f"Worker crashed: {end.reason()}"


# --- the worker's death -----------------------------------------------------------------------


@pytest.mark.parametrize("seen_first", ["process", "channels"])
async def test_a_crash_fails_its_predictions_with_its_signal_and_last_words(
    autojump_clock: MockClock, tmp_path: Path, seen_first: str
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        jobs = [life.submit("p1"), life.submit("p2")]
        where = await worker.running()
        await worker.slots[where["p1"]].say(m.LogLine(m.LogSource.STDOUT, "half way\n"))
        await trio.sleep(100)
        if seen_first == "channels":
            worker.close()
            await wait_all_tasks_blocked()
        worker.die(CRASHED)
        for job in jobs:
            view = await ending(job)
            assert view.status is S.FAILED
            assert view.error == (
                "Worker crashed: killed by SIGSEGV. Its last words: libmodel: segmentation fault"
            )
        assert jobs[0].view().logs == "half way\n"
        end = await life.end()
    assert end.reason() == "killed by SIGSEGV"
    assert end.ready_for == pytest.approx(100)
    assert worker.end_calls == [2.0]


async def test_a_crash_within_a_frame_is_a_crash(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.slots[0].write(bytes(encode_frame(b'{"type":"output_chunk"}'))[:10])
        worker.slots[0].close()
        await wait_all_tasks_blocked()
        worker.die(CRASHED)
        assert (await ending(job)).error.startswith("Worker crashed: killed by SIGSEGV")
        assert (await life.end()).reason() == "killed by SIGSEGV"


async def test_a_terminal_message_that_was_written_counts_though_its_writer_is_dead(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        worker.die(CRASHED, keep_open=True)
        await wait_all_tasks_blocked()
        assert job.view().status is S.PROCESSING, "not failed before everything was read"
        await worker.slots[0].say(m.OutputChunk("x" * 1_000_000), m.Done("p1", 0.1))
        worker.close()
        view = await ending(job)
        end = await life.end()
    assert view.status is S.SUCCEEDED
    assert view.output == "x" * 1_000_000
    assert end.reason() == "killed by SIGSEGV"


async def test_a_grandchild_that_holds_the_sockets_costs_a_second(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, times=Times(last_read=1.0)) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        begin = trio.current_time()
        worker.die(CRASHED, keep_open=True)
        view = await ending(job)
        assert trio.current_time() - begin == pytest.approx(1.0)
        end = await life.end()
    assert view.error.startswith("Worker crashed: killed by SIGSEGV")
    assert end.reason() == "killed by SIGSEGV"


async def test_a_child_of_the_model_that_closes_nothing_does_not_hide_a_death(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    """The end shows on the process first: end-of-file never comes."""
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        worker.die(WorkerEnd(3, None), keep_open=True)
        end = await life.end()
    assert (end.cause, end.reason()) == (Cause.EXITED, "exited with code 3")


@pytest.mark.parametrize("channel", ["control", "slot"])
async def test_a_channel_that_is_closed_ends_a_worker_that_still_runs(
    autojump_clock: MockClock, tmp_path: Path, channel: str
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        (worker.channel if channel == "control" else worker.slots[0]).close()
        end = await life.end()
    name = "the control channel" if channel == "control" else "slot 0"
    assert end.cause is Cause.CHANNEL_CLOSED
    assert end.reason() == f"it closed a channel: {name}"
    assert job.view().error == f"Worker crashed: it closed a channel: {name}"


async def test_fatal_names_its_reason_though_the_worker_was_seen_dead_first(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        worker.die(WorkerEnd(None, signal.SIGABRT), keep_open=True)
        await wait_all_tasks_blocked()
        await worker.say(m.Fatal("the GPU has fallen off the bus"))
        worker.close()
        view = await ending(job)
    assert view.error == "Worker crashed: the GPU has fallen off the bus"


async def test_fatal_ends_the_worker(autojump_clock: MockClock, tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        await worker.say(m.Fatal("the GPU has fallen off the bus"))
        end = await life.end()
    assert end.cause is Cause.FATAL
    assert not end.is_final
    assert job.view().error == "Worker crashed: the GPU has fallen off the bus"


# --- a worker that breaks the protocol --------------------------------------------------------

BAD_FRAMES = {
    "not json": (bytes(encode_frame(b"{nope")), "malformed"),
    "not utf-8": (bytes(encode_frame(b'{"type":"\xff"}')), "utf-8"),
    "no type": (bytes(encode_frame(b"[]")), "'type'"),
    "wrong type": (bytes(encode_frame(b'{"type":"failed","id":5,"slot":5,"error":5}')), "failed"),
    "too large": (b"\xff\xff\xff\xff", "limit"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
@pytest.mark.parametrize("channel", ["control", "slot"])
async def test_a_bad_frame_ends_the_worker_and_says_where_it_was(
    autojump_clock: MockClock, tmp_path: Path, channel: str, kind: str
) -> None:
    worker = FakeWorker(tmp_path)
    bad, words = BAD_FRAMES[kind]
    good = bytes(encode_frame(b'{"type":"protocol_version","version":1}'))
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        if channel == "control":
            name, before = "control channel", bytes(worker.channel._encode(worker.ready()))
            await worker.channel.write(bad)
        else:
            name, before = "slot 0", good
            await worker.slots[0].write(good + bad)
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert f"{name}, frame at byte {len(before)}: " in end.reason()
    assert words in end.reason().lower()
    assert job.view().status is S.FAILED
    assert f"{name}, frame at byte {len(before)}: " in job.view().error


@pytest.mark.parametrize("channel", ["control", "slot"])
async def test_a_worker_that_writes_on_after_a_bad_frame_does_not_get_stuck_in_that(
    autojump_clock: MockClock, tmp_path: Path, channel: str
) -> None:
    worker = FakeWorker(tmp_path, lockstep=True)
    async with living(worker) as life:
        await worker.set_up()
        side = worker.channel if channel == "control" else worker.slots[0]
        begin = trio.current_time()
        with trio.fail_after(1):
            await side.write(b"\xff\xff\xff\xff")
            for _ in range(100):
                await side.write(b"x" * 100_000)
        worker.die(EXITED)
        assert (await life.end()).cause is Cause.PROTOCOL_ERROR
        assert trio.current_time() == begin


async def test_a_message_of_unknown_type_is_said_once_and_skipped(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    news = bytes(encode_frame(b'{"type":"hologram","x":1}'))
    with capture_logs() as logs:
        async with living(worker) as life:
            await worker.set_up()
            job = life.submit()
            await worker.slots[0].receive()
            for _ in range(3):
                await worker.slots[0].write(news)
                await worker.channel.write(news)
            await worker.done("p1")
            assert (await ending(job)).status is S.SUCCEEDED
    said = [entry for entry in logs if entry.get("type") == "hologram"]
    assert sorted(entry["channel"] for entry in said) == ["control channel", "slot 0"]


@pytest.mark.parametrize(
    "message",
    [m.Idle("nobody"), m.SlotFailed("nobody", "lost")],
)
async def test_an_unknown_slot_breaks_the_protocol(
    autojump_clock: MockClock, tmp_path: Path, message: m.ControlResponse
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        await worker.say(message)
        end = await life.end()
    assert end.cause is Cause.PROTOCOL_ERROR
    assert "control channel, frame at byte " in end.reason()
    assert "unknown slot 'nobody'" in end.reason()


async def test_idle_without_a_prediction_is_only_noted(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with living(worker) as life:
            await worker.set_up()
            await worker.idle()
            job = life.submit()
            await worker.slots[0].receive()
            await worker.done("p1")
            assert (await ending(job)).status is S.SUCCEEDED
    assert [entry for entry in logs if entry["event"] == "Idle without a prediction"]


async def test_idle_right_behind_ready_is_only_noted(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with living(worker) as life:
            await worker.say(worker.ready(), m.Idle(worker.slot_ids[0]))
            await wait_all_tasks_blocked()
            job = life.submit()
            await worker.slots[0].receive()
            await worker.done("p1")
            assert (await ending(job)).status is S.SUCCEEDED
    assert [entry for entry in logs if entry["event"] == "Idle without a prediction"]


# --- poison -----------------------------------------------------------------------------------


async def test_a_poisoned_slot_fails_its_prediction_and_the_others_go_on(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        lost, kept = life.submit("lost"), life.submit("kept")
        where = await worker.running()
        await worker.say(m.SlotFailed(worker.slot_ids[where["lost"]], "thread lost"))
        view = await ending(lost)
        assert (view.status, view.error) == (S.FAILED, "thread lost")
        # What it still says is of no interest.
        said = m.LogLine(m.LogSource.STDOUT, "?")
        await worker.slots[where["lost"]].say(said, m.Done("lost", 0.1))
        await worker.idle(where["lost"])
        await worker.done("kept", where["kept"])
        assert (await ending(kept)).status is S.SUCCEEDED
        again = life.submit("again")
        assert (await worker.slots[where["kept"]].receive()).id == "again"
        await worker.done("again", where["kept"])
        assert (await ending(again)).status is S.SUCCEEDED
    assert lost.view() == view


@pytest.mark.parametrize("when", ["idle", "busy", "finishing"])
async def test_a_worker_without_a_slot_left_is_ended(
    autojump_clock: MockClock, tmp_path: Path, when: str
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    async with living(worker) as life:
        await worker.set_up()
        if when != "idle":
            jobs = [life.submit("p1"), life.submit("p2")]
            for prediction_id, index in (await worker.running()).items():
                if when == "finishing":
                    await worker.slots[index].say(m.Done(prediction_id, 0.1))
            await wait_all_tasks_blocked()
        for slot_id in worker.slot_ids:
            await worker.say(m.SlotFailed(slot_id, "thread lost"))
        end = await life.end()
        if when == "busy":
            assert [job.view().error for job in jobs] == ["thread lost"] * 2
        if when == "finishing":
            assert [job.view().status for job in jobs] == [S.SUCCEEDED] * 2
    assert end.cause is Cause.POISONED
    assert end.reason() == "it lost all its slots"
    assert not life.allocator.has_room


# --- ended from outside -----------------------------------------------------------------------


async def test_cancelled_while_idle_it_is_told_to_shut_down_and_given_its_grace(
    autojump_clock: MockClock,
    tmp_path: Path,
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker, times=Times(shutdown_grace=2.0)) as life:
        await worker.set_up()
        life.scope.cancel()
        assert await worker.channel.receive() == m.Shutdown(grace=2.0)
        worker.die(EXITED)
    assert worker.end_calls == [2.0]
    assert worker.closed == 1


async def test_cancelled_it_first_cancels_what_runs_then_shuts_down(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        life.scope.cancel()
        assert await worker.channel.receive() == m.Cancel(worker.slot_ids[0], id="p1")
        await worker.slots[0].say(m.Done("p1", 0.1))
        assert isinstance(await worker.channel.receive(), m.Shutdown)
        worker.die(EXITED)
    assert job.view().status is S.SUCCEEDED, "it was done before it was told"


async def test_what_is_stopped_because_the_server_stops_says_so(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life, trio.open_nursery() as nursery:
        nursery.start_soon(Obedient(worker).run)
        await wait_all_tasks_blocked()
        job = life.submit()
        await wait_all_tasks_blocked()
        life.scope.cancel()
        view = await ending(job)
    assert view.status is S.FAILED, "nobody has asked for its cancellation"
    assert view.error == "The server was shut down before the prediction ended"


async def test_a_deaf_worker_is_killed_after_all_graces(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    times = Times(cancel_grace=5.0, shutdown_grace=2.0)
    begin = trio.current_time()
    async with living(worker, times=times) as life:
        await worker.set_up()
        job = life.submit()
        await worker.slots[0].receive()
        life.scope.cancel()
        assert (await ending(job)).status is S.FAILED
    assert trio.current_time() - begin == pytest.approx(7.0)
    assert worker.end_calls == [2.0]


class Stage:
    """Cancels an incarnation after so many turns of the scheduler, wherever it then is."""

    def __init__(self, worker: FakeWorker, *, obedient: bool, answers: bool) -> None:
        self.worker = worker
        self.obedient = Obedient(worker, answers=answers) if obedient else None
        self.life = Life(worker.open, slots=len(worker.slots), queue=3)
        self.jobs = [self.life.submit(f"p{number}") for number in range(3)]

    async def run(self, turns: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.life.run)
            nursery.start_soon(self._play)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            self.life.scope.cancel()

    async def _play(self) -> None:
        if self.obedient is not None:
            await self.obedient.run()
        else:
            await self.worker.say(self.worker.ready())


@pytest.mark.parametrize("kind", ["obedient", "quick", "deaf"])
@pytest.mark.parametrize("turns", range(40))
async def test_cancelled_at_any_moment_it_leaves_nothing_and_loses_no_job(
    autojump_clock: MockClock, tmp_path: Path, turns: int, kind: str
) -> None:
    worker = FakeWorker(tmp_path, slots=2)
    stage = Stage(worker, obedient=kind != "deaf", answers=kind == "quick")
    with trio.fail_after(2 * Times().worst_case_stop):
        await stage.run(turns)
    assert worker.opened == worker.closed
    assert len(worker.end_calls) == worker.opened
    waiting = stage.life.allocator.withdraw_all()
    for job in stage.jobs:
        assert job.prediction.is_terminal is (job not in waiting)
        assert (job.prediction.id in stage.life.over) is job.prediction.is_terminal
        assert job in waiting or job.view().status in (S.SUCCEEDED, S.FAILED)
    assert life_is_over(stage.life)


def life_is_over(life: Life) -> bool:
    """No slot of a dead worker is left where jobs are given out."""
    before = life.allocator.waiting
    life.allocator.put_back(life.job("probe"))
    return life.allocator.waiting == before + 1


# --- health and the worker's own words --------------------------------------------------------


async def test_the_models_health_is_asked_only_if_it_has_a_healthcheck(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        assert await life.incarnation.check_health() is None, "nothing to ask before it is ready"
        await worker.set_up(healthcheck=False)
        assert await life.incarnation.check_health() is None


@pytest.mark.parametrize("foreign", [False, True])
async def test_an_unhealthy_model(autojump_clock: MockClock, tmp_path: Path, foreign: bool) -> None:
    worker = FakeWorker(tmp_path, foreign=foreign)
    answers: list[str | None] = []
    async with living(worker) as life, trio.open_nursery() as nursery:
        await worker.set_up(healthcheck=True)

        async def ask() -> None:
            answers.append(await life.incarnation.check_health())

        nursery.start_soon(ask)
        question = await worker.channel.receive()
        assert question == m.Healthcheck("hc_1")
        await worker.say(m.HealthcheckResult("hc_1", m.HealthStatus.UNHEALTHY, "no GPU"))
        await wait_all_tasks_blocked()
    assert answers == ["no GPU"]


async def test_a_healthcheck_ends_with_its_worker(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life, trio.open_nursery() as nursery:
        await worker.set_up(healthcheck=True)
        answers: list[str | None] = []

        async def ask() -> None:
            answers.append(await life.incarnation.check_health())

        nursery.start_soon(ask)
        await worker.channel.receive()
        begin = trio.current_time()
        worker.die(CRASHED)
        await life.end()
        await wait_all_tasks_blocked()
        assert answers == ["the worker ended during the healthcheck"]
        await ask()
        assert answers[1:] == ["the worker ended during the healthcheck"]
        assert trio.current_time() == begin, "nobody waits for an answer that cannot come"


async def test_what_the_worker_says_of_itself_is_logged(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    with capture_logs() as logs:
        async with living(worker):
            await worker.set_up()
            await worker.say(
                m.Log(m.LogSource.STDERR, "late words\n"),
                m.WorkerLog("coglet::worker", "warn", "slow disk"),
                m.WorkerLog("coglet::worker", "shouting", "?"),
                m.DroppedLogs(12, 5000),
                m.SlotCancelled(worker.slot_ids[0]),
                m.ShuttingDown(),
            )
            await wait_all_tasks_blocked()
    said = {(entry["event"], entry["log_level"]) for entry in logs}
    assert ("late words", "info") in said
    assert ("slow disk", "warning") in said
    assert ("?", "info") in said
    assert ("Worker dropped log messages", "warning") in said


async def test_a_ready_worker_whose_setup_logs_come_late_keeps_its_report(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        report = life.health.setup_report()
        assert report.status is SetupStatus.SUCCEEDED
        await worker.say(m.Log(m.LogSource.STDERR, "late words\n"))
        await wait_all_tasks_blocked()
        assert life.health.setup_report() == report


# --- output that the worker cannot read itself --------------------------------------------------


@asynccontextmanager
async def writing_unread(
    folder: Path, *pieces: bytes
) -> AsyncIterator[tuple[FakeWorker, Life, Job]]:
    """A worker with a prediction, "p1", and much output that it has not read."""
    worker = FakeWorker(folder)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit("p1")
        await worker.slots[0].receive()
        for piece in pieces:
            worker.unread.send_nowait(piece)
        yield worker, life, job


async def test_output_that_a_worker_cannot_read_is_read_until_it_answers(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        assert isinstance(await worker.channel.receive(), m.Init)
        worker.unread.send_nowait(b"compiling\n")
        ping = await worker.channel.receive()
        assert ping.id.startswith("ping_")
        await trio.sleep(2)
        assert life.health.setup_report().logs == "compiling\n"
        await worker.say(m.HealthcheckResult(ping.id, m.HealthStatus.HEALTHY), worker.ready())
        await wait_all_tasks_blocked()

        job = life.submit("p1")
        await worker.slots[0].receive()
        worker.unread.send_nowait(b"one ")
        ping = await worker.channel.receive()
        await trio.sleep(2)
        worker.unread.send_nowait(b"two")
        await trio.sleep(2)
        assert job.view().logs == "one two"
        await worker.answer(ping)
        await worker.done("p1")
        assert (await ending(job)).logs == "one two"


async def test_what_was_read_for_a_worker_are_last_words_until_it_answers_again(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker):
        await worker.set_up()
        worker.unread.send_nowait(b"why it ends")
        ping = await worker.channel.receive()
        await trio.sleep(2)
        # It may have answered before it wrote that.
        await worker.answer(ping)
        again = await worker.channel.receive()
        assert again.id != ping.id
        worker.unread.send_nowait(b", and where")
        await trio.sleep(2)
        assert worker.forgotten == 0
        await worker.answer(again)
        last = await worker.channel.receive()
        await worker.answer(last)
        await wait_all_tasks_blocked()
        assert worker.forgotten == 1


async def test_a_worker_that_only_answers_late_reads_by_itself(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with writing_unread(tmp_path, b"much") as (worker, _, job):
        ping = await worker.channel.receive()
        await trio.sleep(2)
        worker.is_much_unread = False
        await worker.answer(ping)
        again = await worker.channel.receive()
        worker.unread.send_nowait(b"a line that it will read")
        await trio.sleep(2)
        await worker.answer(again)
        await wait_all_tasks_blocked()
        assert worker.forgotten == 1
        await worker.done("p1")
        assert (await ending(job)).logs == "much"


async def test_what_a_worker_writes_while_it_shuts_down_is_its_own(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with writing_unread(tmp_path, b"much") as (worker, life, job):
        ping = await worker.channel.receive()
        await trio.sleep(2)
        assert job.view().logs == "much"
        worker.is_much_unread = False
        life.scope.cancel()
        assert isinstance(await worker.channel.receive(), m.Cancel)
        await worker.slots[0].say(m.Cancelled("p1"))
        await worker.idle()
        assert isinstance(await worker.channel.receive(), m.Shutdown)
        await worker.answer(ping)
        await wait_all_tasks_blocked()
        worker.unread.send_nowait(b"a line that it will read")
        await trio.sleep(2)
        assert worker.unread.statistics().current_buffer_used == 1
        worker.die(EXITED)


async def test_what_a_dead_worker_has_left_is_not_read_for_it(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with writing_unread(tmp_path, b"alive") as (worker, _, job):
        await trio.sleep(2)
        worker.lie_dead()
        await wait_all_tasks_blocked()
        worker.unread.send_nowait(b"last words")
        await trio.sleep(2)
        assert job.view().logs == "alive"
        assert worker.output_waits()
        worker.die()
        await ending(job)


async def test_characters_cut_by_a_read_are_put_together(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    pieces = b"caf\xc3", b"\xa9 \xe2\x82", b"\xac \xc3"
    async with writing_unread(tmp_path, *pieces) as (worker, _, job):
        ping = await worker.channel.receive()
        await trio.sleep(2)
        assert job.view().logs == "café € "
        await worker.answer(ping)
        await worker.done("p1")
        assert (await ending(job)).logs == "café € �"


async def test_a_worker_that_answers_reads_its_output_itself(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with writing_unread(tmp_path, b"a lot") as (worker, _, job):
        for _ in range(3):
            ping = await worker.channel.receive()
            await worker.answer(ping)
        await worker.done("p1")
        assert (await ending(job)).logs == ""
