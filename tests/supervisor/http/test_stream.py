"""Server-sent events: to a reader at a time, and over real connections."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from supervisor.config import Config, Limits
from supervisor.http.server import serve_http
from supervisor.http.stream import CROWD, GATHERING, Streaming, follow, last_event_id
from supervisor.http.values import Request
from supervisor.interface import PredictionRequest
from supervisor.job import FOLLOWERS_MAX, Job
from supervisor.state.history import LAG_MAX
from supervisor.state.prediction import Prediction
from tests.supervisor.fake_worker import EXITED, FakeWorker
from tests.supervisor.process_table import PATIENCE, until
from tests.supervisor.served import Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from trio.testing import MockClock

STDOUT = m.LogSource.STDOUT


def new_job(**limits: Any) -> Job:
    prediction = Prediction(id="p1", input={}, shown_input={}, limits=Limits(**limits))
    return Job(prediction, withdraw=lambda _: False, over=lambda _: None)


def busy(job: Job) -> Job:
    job.prediction.start(trio.current_time())
    job.prediction.add_log("hello\n", STDOUT)
    job.prediction.add_metric(m.Metric("tokens", 2, m.MetricMode.REPLACE))
    job.prediction.add_output("t0", 4)
    return job


async def read(job: Job, heartbeat: float = 15.0, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = follow(job, Request(named), Streaming(heartbeat=heartbeat))
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert response.pieces is not None
    async with response.pieces as pieces:
        return b"".join([piece async for piece in pieces]).decode()


# --- one reader ---------------------------------------------------------------------------------


async def test_the_whole_of_a_prediction(autojump_clock: MockClock) -> None:
    job = busy(new_job())
    job.succeeded(as_list=True)
    result = json.dumps(job.view().as_state(), separators=(",", ":"))
    assert (
        await read(job)
        == f"""\
id: 0
event: start
data: {{"id":"p1","status":"processing"}}

id: 1
event: log
data: {{"data":"hello\\n","source":"stdout"}}

id: 2
event: metric
data: {{"mode":"replace","name":"tokens","value":2}}

id: 3
event: output
data: {{"chunk":"t0","index":0}}

id: 4
event: completed
data: {result}

"""
    )


async def test_a_line_break_stays_in_its_line(autojump_clock: MockClock) -> None:
    job = new_job()
    job.prediction.start(trio.current_time())
    job.prediction.add_output("a\r\nb\n\nevent: x\u2028", 9)
    job.canceled()
    lines = (await read(job)).split("\n")
    assert [line for line in lines if line.startswith("event")] == [
        "event: start",
        "event: output",
        "event: completed",
    ]
    assert json.loads(lines[6].removeprefix("data: "))["chunk"] == "a\r\nb\n\nevent: x\u2028"


async def test_who_comes_back_gets_what_it_missed(autojump_clock: MockClock) -> None:
    job = busy(new_job())
    job.failed("no")
    text = await read(job, last_event_id="3")
    assert text.startswith("id: 4\nevent: completed\n")
    assert '"error":"no"' in text
    assert (await read(job, last_event_id="nonsense")).startswith("id: 0\n")
    response = follow(job, Request({"last-event-id": "4"}), Streaming())
    assert (response.status, response.body, response.pieces) == (204, b"", None)


@pytest.mark.parametrize("value", [None, "", "-1", "1.5", "x", "9" * 19, "\u0663"])
def test_what_is_no_number_of_ours(value: str | None) -> None:
    assert last_event_id(value) is None


async def test_silence_is_filled_with_comments(autojump_clock: MockClock) -> None:
    job = busy(new_job())

    async def end_later() -> None:
        await trio.sleep(35)
        job.succeeded(as_list=True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_later)
        text = await read(job)
    assert text.count(": keep-alive\n\n") == 2
    assert text.count("id: ") == 5


async def test_a_flood_of_events_is_written_in_few_pieces(autojump_clock: MockClock) -> None:
    job = new_job()
    job.prediction.start(trio.current_time())
    response = follow(job, Request({}), Streaming())
    assert response.pieces is not None
    begin = trio.current_time()

    async def put_out(count: int) -> None:
        for _ in range(count):
            job.prediction.add_log("x", STDOUT)
            await trio.sleep(GATHERING / 10)

    async with response.pieces as pieces, trio.open_nursery() as nursery:
        assert (await anext(pieces)).count(b"event: ") == 1
        job.prediction.add_log("at once", STDOUT)
        assert (await anext(pieces)).count(b"event: ") == 1
        for _ in range(CROWD):
            job.prediction.add_log("together", STDOUT)
        assert (await anext(pieces)).count(b"event: ") == CROWD
        assert trio.current_time() == begin, "nothing waits for more before there is a flood"
        nursery.start_soon(put_out, 5)
        assert (await anext(pieces)).count(b"event: ") == 5
        assert trio.current_time() == begin + GATHERING
        nursery.start_soon(put_out, 2)
        assert (await anext(pieces)).count(b"event: ") == 1, "that was no flood any more"
        await wait_all_tasks_blocked()
        begin = trio.current_time()
        for _ in range(CROWD):
            job.prediction.add_log("x", STDOUT)
        job.succeeded(as_list=True)
        async for _ in pieces:
            pass
        assert trio.current_time() == begin, "nothing comes after the end"


async def test_a_reader_that_is_far_behind_does_not_wait(autojump_clock: MockClock) -> None:
    job = new_job()
    job.prediction.start(trio.current_time())
    for _ in range(1000):
        job.prediction.add_log("x" * 1000, STDOUT)
    response = follow(job, Request({}), Streaming())
    assert response.pieces is not None
    begin = trio.current_time()
    async with response.pieces as pieces:
        count = 0
        while count < 900:
            count += (await anext(pieces)).count(b"event: ")
        assert trio.current_time() == begin


async def test_a_reader_that_finds_a_gap_is_told_so(autojump_clock: MockClock) -> None:
    job = new_job(stream_history=2)
    busy(job)
    error = '{"error":"SSE stream replay truncated; events were dropped","skipped":2}'
    assert await read(job) == f"id: 1\nevent: error\ndata: {error}\n\n"
    assert (await partial_read(job, after=1)).startswith("id: 2\n")
    response = follow(job, Request({"last-event-id": "3"}), Streaming())
    assert response.pieces is not None
    async with response.pieces as pieces:
        for _ in range(LAG_MAX + 1):
            job.prediction.add_log("x", STDOUT)
        error = '{"error":"SSE stream lagged; events were dropped","skipped":1}'
        assert [piece.decode() async for piece in pieces] == [
            f"id: 4\nevent: error\ndata: {error}\n\n"
        ]


async def partial_read(job: Job, after: int) -> str:
    response = follow(job, Request({"last-event-id": str(after)}), Streaming())
    assert response.pieces is not None
    async with response.pieces as pieces:
        async for piece in pieces:
            return piece.decode()
    raise AssertionError("no piece")


async def test_too_many_readers() -> None:
    job = busy(new_job())
    readers = [job.follow() for _ in range(FOLLOWERS_MAX)]
    assert job.followers == FOLLOWERS_MAX, "those too that have not begun"
    response = follow(job, Request(), Streaming())
    assert response.status == 429
    assert json.loads(response.body) == {"error": "Too many stream subscribers"}
    readers[0].close()
    readers[0].close()
    assert follow(job, Request(), Streaming()).status == 200


# --- connections --------------------------------------------------------------------------------


class Client:
    """A connection that reads events one by one. HTTP/1.0: what it gets is not cut in chunks."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = b""
        self.head = ""

    async def ask(self, method: str, path: str, *headers: str, body: Any = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.0", "accept: text/event-stream", *headers]
        if data:
            lines += ["content-type: application/json", f"content-length: {len(data)}"]
        await self._stream.send_all("\r\n".join([*lines, "", ""]).encode() + data)
        self.head = (await self._until(b"\r\n\r\n")).decode()

    async def event(self) -> dict[str, Any]:
        lines = (await self._until(b"\n\n")).decode().splitlines()
        fields = dict(line.split(": ", 1) for line in lines)
        return {**fields, "data": json.loads(fields["data"])}

    async def rest(self) -> bytes:
        return self._data + b"".join([bytes(piece) async for piece in self._stream])

    async def _until(self, mark: bytes) -> bytes:
        while mark not in self._data:
            more = await self._stream.receive_some()
            assert more, self._data
            self._data += more
        found, _, self._data = self._data.partition(mark)
        return found


class Listening:
    """A server over a worker that the test plays."""

    def __init__(self, worker: FakeWorker, served: Served, port: int) -> None:
        self.worker = worker
        self.service = served.service
        self.port = port

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            yield Client(stream)


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    worker = FakeWorker(tmp_path)
    async with serving(worker) as served, trio.open_nursery() as nursery:
        await worker.set_up()
        config = Config("model.py", port=0)
        found = await nursery.start(partial(serve_http, served.service, config))
        with trio.fail_after(PATIENCE):
            yield Listening(worker, served, found.port)
        worker.die(EXITED)
        nursery.cancel_scope.cancel()


BODY = {"id": "p1", "input": {"text": "hi"}}


async def left(job: Any, readers: int) -> None:
    """Wait until the server has seen that no more than so many read, and done what follows."""
    await until(lambda: job.followers == readers)
    await wait_all_tasks_blocked()


async def test_events_arrive_as_they_happen(tmp_path: Path) -> None:
    async with (
        listening(tmp_path) as server,
        server.connect() as client,
        server.connect() as late,
    ):
        slot = server.worker.slots[0]
        await client.ask("POST", "/predictions", body=BODY)
        assert client.head.startswith("HTTP/1.1 200")
        assert "cache-control: no-cache" in client.head
        await slot.receive()
        assert (await client.event())["event"] == "start"
        for index in range(3):
            await slot.say(m.OutputChunk(f"t{index}"))
            assert (await client.event())["data"] == {"chunk": f"t{index}", "index": index}
        await late.ask("GET", "/predictions/p1/stream", "last-event-id: 0")
        assert [(await late.event())["id"] for _ in range(3)] == ["1", "2", "3"]
        await slot.say(m.Done("p1", 0.1, is_stream=True))
        last, other = await client.event(), await late.event()
        job = server.service.recall("p1")
        assert job is not None
        assert last == other
        assert last == {"id": "4", "event": "completed", "data": job.view().as_state()}
        assert await client.rest() == await late.rest() == b""


async def test_chunks_over_http_1_1(tmp_path: Path) -> None:
    async with listening(tmp_path) as server, httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{server.port}/predictions"
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                headers = {"accept": "text/event-stream"}
                answer = await client.post(url, json=BODY, headers=headers)
                assert answer.headers["transfer-encoding"] == "chunked"
                assert answer.text.count("event: ") == 12

            nursery.start_soon(ask)
            await server.worker.slots[0].receive()
            await server.worker.slots[0].say(*[m.OutputChunk("x")] * 10)
            await server.worker.done("p1")


async def test_the_last_reader_of_what_was_asked_for_as_a_stream_cancels_it(
    tmp_path: Path,
) -> None:
    async with listening(tmp_path) as server:
        async with server.connect() as other:
            async with server.connect() as client:
                await client.ask("POST", "/predictions", body=BODY)
                await server.worker.slots[0].receive()
                await client.event()
                await other.ask("GET", "/predictions/p1/stream")
                await other.event()
            job = server.service.find("p1")
            assert job is not None
            await left(job, 1)
            assert not job.cancel_requested, "another reads"
        cancel = await server.worker.channel.receive()
        assert isinstance(cancel, m.Cancel)
        assert (cancel.id, job.followers) == ("p1", 0)


async def test_who_only_looks_on_cancels_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        job = server.service.submit(PredictionRequest({"text": "hi"}, "p1"))
        await server.worker.slots[0].receive()
        for method, path in (("PUT", "/predictions/p1"), ("GET", "/predictions/p1/stream")):
            async with server.connect() as client:
                await client.ask(method, path, body=BODY if method == "PUT" else None)
                await client.event()
        await left(job, 0)
        assert not job.cancel_requested


@pytest.mark.parametrize("how", ["gap", "head"])
async def test_the_last_reader_cancels_only_if_it_has_read_and_left(
    autojump_clock: MockClock, how: str
) -> None:
    job = busy(new_job(stream_history=2))
    at_end: list[Callable[[], object]] = []
    request = Request({"last-event-id": "1"}, at_end=at_end.append)
    owner = follow(job, request, Streaming(), is_owner=True)
    late = follow(job, Request(at_end=at_end.append), Streaming())
    assert (owner.status, late.status, job.followers) == (200, 200, 2)
    at_end[0]()
    assert not job.cancel_requested
    if how == "gap":
        assert late.pieces is not None
        async with late.pieces as pieces:
            assert b"replay truncated" in b"".join([piece async for piece in pieces])
    at_end[1]()
    assert (job.followers, job.cancel_requested) == (0, False)


async def test_a_reader_that_leaves_cancels_what_it_has_asked_for(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        async with server.connect() as client:
            await client.ask("POST", "/predictions", body=BODY)
            await server.worker.slots[0].receive()
            await client.event()
        cancel = await server.worker.channel.receive()
        assert isinstance(cancel, m.Cancel)
        assert cancel.id == "p1"


async def test_who_would_not_have_waited_cancels_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        async with server.connect() as client:
            await client.ask("POST", "/predictions", "prefer: respond-async", body=BODY)
            await server.worker.slots[0].receive()
            await client.event()
        job = server.service.find("p1")
        assert job is not None
        await left(job, 0)
        assert not job.cancel_requested


async def test_a_reader_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """The model goes on, and what is kept for the reader is bounded."""
    async with listening(tmp_path) as server, server.connect() as client:
        slot = server.worker.slots[0]
        await client.ask("POST", "/predictions", body=BODY)
        await slot.receive()
        chunk = "x" * 100_000
        for _ in range(40):
            await slot.say(*[m.OutputChunk(chunk)] * 10)
            await wait_all_tasks_blocked()
        job = server.service.find("p1")
        assert job is not None
        assert job.events == 401
        assert job.prediction.history.size <= Limits().stream_history_bytes
        text = await client.rest()
        assert b"SSE stream lagged; events were dropped" in text
        assert not job.cancel_requested, "it has not left"


async def test_unknown_predictions_have_no_stream(tmp_path: Path) -> None:
    async with listening(tmp_path) as server, httpx.AsyncClient() as client:
        response = await client.get(f"http://127.0.0.1:{server.port}/predictions/nope/stream")
        assert response.status_code == 404
        assert "No prediction" in response.json()["detail"]
