"""A prediction whose files are uploaded: order, errors, cancels, and what goes on meanwhile."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import stamina
import trio
from attrs import define, evolve, field
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from protocol.spill import write_spill
from supervisor.config import Limits
from supervisor.deliveries import Deliveries
from supervisor.interface import InvalidInput, PredictionRequest, PredictionStatus
from supervisor.service import PredictionService
from supervisor.supervision import Supervision
from supervisor.telemetry import Telemetry
from supervisor.uploads import Uploader
from tests.open_files import open_files
from tests.supervisor.fake_worker import CRASHED, EXITED, FakeWorker, Life, ending, living
from tests.supervisor.receiver import OK, Received, always, answer, receiving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

    from supervisor.job import Job
    from tests.supervisor.receiver import Receiver, Respond

S = PredictionStatus
OUT = m.LogSource.STDOUT


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tries follow each other at once; and no proxy of the machine's comes between."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@define
class Gate:
    """Lets each upload be answered only when the test says so, by the end of its URL."""

    answers: dict[str, bytes] = field(factory=dict)
    _changed: trio.Event = field(factory=trio.Event)

    async def respond(self, received: Received) -> bytes:
        while (name := received.target.rpartition("/")[2]) not in self.answers:
            await self._changed.wait()
        return self.answers[name]

    def open(self, *names: str, response: bytes = OK) -> None:
        self.answers |= dict.fromkeys(names, response)
        self._changed.set()
        self._changed = trio.Event()


class Uploading(Life):
    """A service with a fake worker, whose files go to a receiver."""

    def __init__(self, worker: FakeWorker, receiver: Receiver, limits: Limits | None) -> None:
        super().__init__(worker.open, slots=len(worker.slots), limits=limits)
        self.worker = worker
        self.receiver = receiver
        config = evolve(self.config, upload_url=f"{receiver.url}/all")
        self.deliveries = Deliveries(config, Telemetry())
        supervision = Supervision(
            self.config, self.allocator, self.health, Telemetry(), worker.open
        )
        self.supervision = supervision
        self.service = PredictionService(
            supervision,
            self.allocator,
            self.health,
            self.limits,
            Telemetry(),
            deliveries=self.deliveries,
        )
        self.delivering = trio.CancelScope()

    async def deliver(self, *, task_status: trio.TaskStatus[None]) -> None:
        with self.delivering:
            await self.deliveries.run(task_status=task_status)

    async def predict(self, id: str = "p1", prefix: str | None = None) -> tuple[Job, Outputs]:
        """Begin a prediction on the first slot; its job and what its model may do."""
        job = self.service.submit(PredictionRequest({}, id, output_file_prefix=prefix))
        predict = await self.worker.slots[0].receive()
        return job, Outputs(self.worker, predict)


@define
class Outputs:
    """Plays a model: writes files and says so."""

    worker: FakeWorker
    request: m.Predict
    _files: int = 0

    async def write(self, name: str, content: str) -> str:
        folder = trio.Path(self.request.output_dir) / str(self._files)
        self._files += 1
        await folder.mkdir()
        await (folder / name).write_text(content)
        return str(folder / name)

    async def file(self, name: str, content: str = "content") -> None:
        await self.say(m.FileOutput(await self.write(name, content), m.FileKind.FILE))

    async def say(self, *messages: Any) -> None:
        await self.worker.slots[0].say(*messages)

    async def done(self, *, is_stream: bool = True) -> None:
        await self.say(m.Done(self.request.id, 0.1, is_stream))
        await self.worker.idle()


@asynccontextmanager
async def uploading(
    folder: Path, respond: Respond, *, limits: Limits | None = None, foreign: bool = False
) -> AsyncIterator[Uploading]:
    worker = FakeWorker(folder, foreign=foreign)
    with trio.fail_after(60):
        async with receiving(respond) as receiver, trio.open_nursery() as nursery:
            life = Uploading(worker, receiver, limits)
            await nursery.start(life.deliver)
            nursery.start_soon(life.supervision.run)
            await worker.set_up()
            yield life
            worker.die(EXITED)
            nursery.cancel_scope.cancel()


def targets(life: Uploading) -> list[str]:
    return sorted(request.target for request in life.receiver.requests)


# --- order ------------------------------------------------------------------------------------


async def test_outputs_keep_their_order_though_uploads_end_in_any(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.say(m.OutputChunk("first"))
        await model.file("a.txt")
        await model.file("b.txt")
        await model.say(m.OutputChunk("last"), m.LogLine(OUT, "still here\n"))
        await life.receiver.wait_begun(2)
        gate.open("b.txt")
        await wait_all_tasks_blocked(0.01)
        view = job.view()
        assert (view.output, view.logs) == (["first"], "still here\n"), "no hole, and logs go on"
        await model.done()
        gate.open("a.txt")
        view = await job.wait()
        url = f"{life.receiver.url}/all"
        assert view.status is S.SUCCEEDED
        assert view.output == ["first", f"{url}/a.txt", f"{url}/b.txt", "last"]
        request = life.receiver.requests[0]
        assert (request.headers["x-prediction-id"], request.body) == ("p1", b"content")


async def test_a_value_in_a_spill_file_waits_too(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        path = write_spill(model.request.output_dir, b'{"large": 1}')
        await model.say(m.FileOutput(path, m.FileKind.OVERSIZED))
        await life.receiver.wait_begun(1)
        gate.open("a.txt")
        await model.done()
        url = f"{life.receiver.url}/all"
        assert (await job.wait()).output == [f"{url}/a.txt", {"large": 1}]


async def test_files_inside_a_value_have_their_places(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        job, model = await life.predict()
        assert model.request.files_apart
        one = await model.write("a.txt", "one")
        two = await model.write("a.txt", "two")
        value = b'{"a/b~": [1, null], "two": {"": null}, "nothing": null}'
        path = write_spill(model.request.output_dir, value)
        files = {"/a~1b~0/1": one, "/two/": two}
        await model.say(m.FileOutput(path, m.FileKind.OVERSIZED, files=files))
        await model.say(m.OutputChunk("last"))
        await model.done()
        url = f"{life.receiver.url}/all"
        assert (await job.wait()).output == [
            {"a/b~": [1, f"{url}/a.txt"], "two": {"": f"{url}/a-1.txt"}, "nothing": None},
            "last",
        ]
        assert sorted(each.body for each in life.receiver.requests) == [b"one", b"two"]


@pytest.mark.parametrize("pointer", ["/a", "/b/0", "/b/x", "/c", "/b/0/1", "", "/d/9"])
async def test_a_place_that_is_none_breaks_the_protocol(tmp_path: Path, pointer: str) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        job, model = await life.predict()
        path = write_spill(model.request.output_dir, b'{"a": 1, "b": ["x"], "d": []}')
        await model.say(m.FileOutput(path, m.FileKind.OVERSIZED, files={pointer: "/a.txt"}))
        assert isinstance(await life.worker.channel.receive(), m.Cancel)
        life.worker.die(EXITED)
        view = await job.wait()
        assert view.status is S.FAILED
        assert f"no place for a file at {pointer!r}" in view.error


async def test_files_of_the_same_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        job, model = await life.predict()
        for number, name in enumerate(("o.png", "o.png", "o-1.png", "o.png", "o", "o")):
            await model.file(name, str(number))
        await model.done()
        view = await job.wait()
        names = [url.rpartition("/")[2] for url in view.output]
        assert names == ["o.png", "o-1.png", "o-1-1.png", "o-2.png", "o", "o-1"]
        bodies = {each.target.rpartition("/")[2]: each.body for each in life.receiver.requests}
        assert [bodies[name] for name in names] == [b"0", b"1", b"2", b"3", b"4", b"5"]


async def test_a_single_file_is_the_output_itself(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(answer(201, "Location: /there.png"))) as life:
        job, model = await life.predict()
        await model.file("a.png")
        await model.done(is_stream=False)
        assert (await job.wait()).output == f"{life.receiver.url}/there.png"


async def test_the_client_may_say_where_its_files_go(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        prefix = f"{life.receiver.url}/mine/run-"
        job, model = await life.predict(prefix=prefix)
        await model.file("a.txt")
        await model.done(is_stream=False)
        assert (await job.wait()).output == f"{prefix}a.txt"
        for wrong in ("nonsense", "file:///etc/x"):
            request = PredictionRequest({}, output_file_prefix=wrong)
            with pytest.raises(InvalidInput) as caught:
                life.service.submit(request)
            assert caught.value.errors[0].loc == ("body", "output_file_prefix")


async def test_no_client_leads_us_to_credentials_of_the_cloud(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        job, model = await life.predict(prefix="http://169.254.169.254/latest/")
        await model.file("a.txt")
        assert await life.worker.channel.receive() == m.Cancel("slot-id-0", id="p1")
        await model.say(m.Cancelled("p1"))
        assert (await job.wait()).error == (
            "Output file 'a.txt' could not be uploaded to 169.254.169.254: "
            "leads to a link-local address; those are always refused"
        )


async def test_files_apart_that_nobody_wanted_break_the_protocol(tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path)
    async with living(worker) as life:
        await worker.set_up()
        job = life.submit()
        request = await worker.slots[0].receive()
        assert request.files_apart is None
        path = write_spill(request.output_dir, b"[null]")
        await worker.slots[0].say(m.FileOutput(path, m.FileKind.OVERSIZED, files={"/0": "/a"}))
        assert isinstance(await worker.channel.receive(), m.Cancel)
        worker.die(EXITED)
        assert "nobody wanted them so" in (await ending(job)).error


async def test_without_a_destination_nothing_is_uploaded(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        assert Deliveries(life.config, Telemetry()).of(life.job(), None) is None


# --- what goes on meanwhile -------------------------------------------------------------------


async def test_the_slot_runs_the_next_prediction_while_files_are_uploaded(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        first, model = await life.predict("p1")
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        await model.done()
        second, model = await life.predict("p2")
        await model.say(m.OutputChunk("second"))
        await model.done(is_stream=False)
        assert (await second.wait()).output == "second"
        assert first.view().status is S.PROCESSING
        life.worker.die(CRASHED)
        await wait_all_tasks_blocked(0.01)
        gate.open("a.txt")
        view = await first.wait()
        assert view.status is S.SUCCEEDED, "a worker that is done with it may end"


async def test_uploads_are_not_part_of_the_predict_time(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        await model.done()
        await wait_all_tasks_blocked(0.05)
        gate.open("a.txt")
        view = await job.wait()
        took = (view.completed_at - view.started_at).total_seconds()
        assert view.metrics["predict_time"] < took - 0.04


async def test_no_file_stays_open_and_no_folder_stays(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        for number in range(100):
            job, model = await life.predict(f"p{number}")
            await model.file("a.txt")
            await model.done()
            assert (await job.wait()).status is S.SUCCEEDED
        while os.listdir(tmp_path) or open_files(tmp_path):
            await trio.lowlevel.checkpoint()  # the last folder is being removed, on a thread
        # One, if it is never at rest for longer than connections are kept.
        assert life.receiver.connections < 50


# --- what goes wrong --------------------------------------------------------------------------


async def test_a_failed_upload_fails_the_prediction_and_stops_it(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await model.file("b.txt")
        await life.receiver.wait_begun(2)
        gate.open("b.txt", response=answer(403))
        assert await life.worker.channel.receive() == m.Cancel("slot-id-0", id="p1")
        await model.say(m.OutputChunk("too late"), m.Cancelled("p1"))
        view = await job.wait()
        assert view.status is S.FAILED
        assert view.error == (
            "Output file 'b.txt' could not be uploaded to 127.0.0.1: it answered 403 Whatever"
        )
        assert view.output is None


async def test_an_upload_that_fails_after_the_model_is_done(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        await model.done()
        await wait_all_tasks_blocked()
        gate.open("a.txt", response=answer(404))
        view = await job.wait()
        assert view.status is S.FAILED
        assert "it answered 404" in view.error


async def test_an_error_of_ours_fails_one_prediction_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Uploader.put

    async def broken(self: Uploader, file: Any, url: httpx.URL, headers: Any) -> str:
        if url.path.endswith("bad.txt"):
            raise RuntimeError(f"never thought of: {url}")
        return await put(self, file, url, headers)

    monkeypatch.setattr(Uploader, "put", broken)
    with capture_logs() as logs:
        async with uploading(tmp_path, always(OK)) as life:
            job, model = await life.predict()
            await model.file("bad.txt")
            assert await life.worker.channel.receive() == m.Cancel("slot-id-0", id="p1")
            await model.say(m.Cancelled("p1"))
            await life.worker.idle()
            view = await job.wait()
            assert view.error == (
                "Output file 'bad.txt' could not be uploaded: "
                "an error inside the server; its log says more"
            )
            job, model = await life.predict("p2")
            await model.file("good.txt")
            await model.done()
            assert (await job.wait()).status is S.SUCCEEDED
    (entry,) = [entry for entry in logs if entry["event"].startswith("Upload given up")]
    assert (entry["log_level"], entry["prediction_id"]) == ("error", "p1")
    assert entry["exception"].endswith("RuntimeError")


async def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    async with uploading(tmp_path, always(OK)) as life:
        job, model = await life.predict()
        outside = tmp_path / "secret"
        outside.write_text("secret")
        await model.say(m.FileOutput(str(outside), m.FileKind.FILE))
        await life.worker.channel.receive()
        await model.say(m.Cancelled("p1"))
        view = await job.wait()
        assert view.error == f"Output file {str(outside)!r} lies outside the prediction's folder"
        assert life.receiver.begun == 0


async def test_files_of_a_foreign_worker_may_lie_anywhere(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    async with uploading(tmp_path / "run", always(OK), foreign=True) as life:
        job, model = await life.predict()
        (tmp_path / "a.txt").write_text("anywhere")
        await model.say(m.FileOutput(str(tmp_path / "a.txt"), m.FileKind.FILE, "a/b\r\nX: y"))
        await model.done()
        assert (await job.wait()).status is S.SUCCEEDED
        (request,) = life.receiver.requests
        assert (request.body, request.headers["content-type"]) == (b"anywhere", "text/plain")


@pytest.mark.parametrize("sizes", [(101,), (60, 41)])
async def test_the_limit_of_the_output_holds_for_files(
    tmp_path: Path, sizes: tuple[int, ...]
) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond, limits=Limits(max_output=100)) as life:
        job, model = await life.predict()
        for size in sizes:
            await model.file("a.txt", "x" * size)
        await life.worker.channel.receive()
        await model.say(m.Cancelled("p1"))
        view = await job.wait()
        assert view.status is S.FAILED
        assert view.error.endswith("larger than 100 bytes (--max-output)")


# --- cancels and ends -------------------------------------------------------------------------


@pytest.mark.parametrize("is_done", [False, True])
async def test_a_cancel_aborts_the_uploads(tmp_path: Path, is_done: bool) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        if is_done:
            await model.done()
            await wait_all_tasks_blocked()
        job.cancel()
        if not is_done:
            await life.worker.channel.receive()
            await model.file("b.txt")
            await model.say(m.Cancelled("p1"))
        assert (await job.wait()).status is S.CANCELED
        gate.open("a.txt")
        await wait_all_tasks_blocked()
        assert life.receiver.begun == 1


async def test_a_cancel_that_came_too_late_has_aborted_them_all_the_same(tmp_path: Path) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        job.cancel()
        await model.done()
        assert (await job.wait()).status is S.CANCELED, "never a hole"


async def test_a_worker_that_dies_takes_the_uploads_of_its_prediction_along(
    tmp_path: Path,
) -> None:
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        job, model = await life.predict()
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        life.worker.die(CRASHED)
        view = await job.wait()
        assert view.status is S.FAILED
        assert view.error.startswith("Worker crashed")


async def test_the_end_of_the_server_fails_what_is_not_uploaded(tmp_path: Path) -> None:
    error = "The server was shut down before the prediction's files were uploaded"
    gate = Gate()
    async with uploading(tmp_path, gate.respond) as life:
        first, model = await life.predict("p1")
        await model.file("a.txt")
        await life.receiver.wait_begun(1)
        await model.done()
        second, model = await life.predict("p2")
        await model.file("b.txt")
        await life.receiver.wait_begun(2)
        life.delivering.cancel()
        view = await first.wait()
        assert (view.status, view.error) == (S.FAILED, error)
        await model.file("c.txt")
        await model.done()
        view = await second.wait()
        assert (view.status, view.error) == (S.FAILED, error)
        third, model = await life.predict("p3")
        await model.file("d.txt")
        await model.done()
        assert (await third.wait()).error == error


async def test_a_reader_waits_where_too_many_files_are_open_but_not_for_a_cancel(
    tmp_path: Path,
) -> None:
    async with uploading(tmp_path, Gate().respond) as life:
        job, model = await life.predict()
        for _ in range(33):
            await model.file("a.txt")
        await model.say(m.LogLine(OUT, "behind\n"))
        await life.receiver.wait_begun(4)
        await wait_all_tasks_blocked(0.05)
        assert job.view().logs == ""
        job.cancel()
        await life.worker.channel.receive()
        await model.say(m.Cancelled("p1"))
        view = await job.wait()
        assert (view.status, view.logs) == (S.CANCELED, "behind\n")
