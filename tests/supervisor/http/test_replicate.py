"""`/v1`: the same predictions in Replicate's words."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.http.errors import draining_response
from supervisor.http.replicate import STOP_WAIT, WAIT_MAX, Replicate, problem
from supervisor.http.replicate_stream import replicate_form
from supervisor.http.stream import KEEP_ALIVE, Streaming
from supervisor.http.values import Request, Response, json_response
from supervisor.interface import AtCapacity, Event, EventKind, Gap, InputError, InvalidInput
from supervisor.model_schema import ModelSchema
from tests.supervisor.http.test_openapi import PREDICT, assert_described

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.supervisor.http.fake_service import FakeService, Serve

HOST = {"host": "models.example:8000"}
URL = "http://models.example:8000/v1/predictions/p1"
JSON_TYPE = {"content-type": "application/json"}


@pytest.fixture
def replicate(service: FakeService) -> Replicate:
    return Replicate(service, Streaming())


def asking(prefer: str | None = None, **body: Any) -> Request:
    headers = HOST | JSON_TYPE | ({"prefer": prefer} if prefer is not None else {})
    return Request(headers, json.dumps({"id": "p1", "input": {}, **body}).encode())


def said(response: Response) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(response.body)
    return body


async def test_a_prediction_is_answered_at_once(service: FakeService, replicate: Replicate) -> None:
    service.hold = True
    response = await replicate.create(asking(input={"text": "hi"}, version="v", stream=True))
    body = said(response)
    assert response.status == 201
    assert body.pop("created_at").endswith("+00:00")
    assert body == {
        "id": "p1",
        "model": "local/model",
        "version": "local",
        "status": "starting",
        "input": {"text": "hi"},
        "output": None,
        "logs": "",
        "error": None,
        "metrics": {},
        "started_at": None,
        "completed_at": None,
        "urls": {"get": URL, "cancel": f"{URL}/cancel", "stream": f"{URL}/stream"},
    }


async def test_what_runs_is_still_starting_in_the_answer_that_creates_it(
    service: FakeService, replicate: Replicate, autojump_clock: MockClock
) -> None:
    """Its clients take "processing" for the end of a wait, and skip the output that they get."""
    service.hold = True
    answers: list[Response] = []

    async def ask() -> None:
        answers.append(await replicate.create(asking("wait=5"), "someone/something"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        service.handles[0].start()
        service.handles[0].output("a", "b")
    body = said(answers[0])
    assert (body["status"], body["output"]) == ("starting", None)
    assert body["model"] == "someone/something"
    body = said(await replicate.get(Request(HOST), "p1"))
    assert (body["status"], body["output"]) == ("processing", ["a", "b"])


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0.0),
        ("respond-async", 0.0),
        ("wait=7", 7.0),
        ("wait", WAIT_MAX),
        ("wait=600", WAIT_MAX),
        ("respond-async, wait=7", 7.0),
    ],
)
async def test_who_waits_waits_for_a_minute_at_most(
    service: FakeService,
    replicate: Replicate,
    autojump_clock: MockClock,
    prefer: str | None,
    seconds: float,
) -> None:
    service.hold = True
    started = trio.current_time()
    assert (await replicate.create(asking(prefer))).status == 201
    assert trio.current_time() - started == pytest.approx(seconds)
    assert not service.handles[0].job.cancel_requested


async def test_the_result_ends_the_wait(service: FakeService, replicate: Replicate) -> None:
    body = said(await replicate.create(asking("wait")))
    assert (body["status"], body["output"], body["logs"]) == ("succeeded", "hello", "log\n")
    assert body["completed_at"] >= body["started_at"] >= body["created_at"]


async def test_a_client_that_leaves_cancels_nothing(
    service: FakeService, replicate: Replicate
) -> None:
    service.hold = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(replicate.create, asking("wait"))
        await service.submitted.wait()
        nursery.cancel_scope.cancel()
    assert not service.handles[0].job.cancel_requested


async def test_a_webhook_is_passed_on(service: FakeService, replicate: Replicate) -> None:
    hook = {"webhook": "https://hooks.example/", "webhook_events_filter": ["completed"]}
    await replicate.create(asking(**hook))
    webhook = service.handles[0].request.webhook
    assert webhook is not None
    assert (webhook.url, webhook.events) == ("https://hooks.example/", {"completed"})


async def test_a_cancel_is_answered_with_what_became_of_it(
    service: FakeService, replicate: Replicate, autojump_clock: MockClock
) -> None:
    service.hold = True
    await replicate.create(asking())
    body = said(await replicate.cancel(Request(HOST), "p1"))
    assert body["status"] == "canceled"
    assert said(await replicate.cancel(Request(HOST), "p1")) == body

    await replicate.create(asking(id="p2"))
    job = service.handles[1].job
    service.handles[1].start()
    service.waiting.withdraw(job)  # a slot has it, and does not stop it
    started = trio.current_time()
    body = said(await replicate.cancel(Request(HOST), "p2"))
    assert trio.current_time() - started == pytest.approx(STOP_WAIT)
    assert (body["status"], job.cancel_requested) == ("processing", True)


async def test_the_list(service: FakeService, replicate: Replicate) -> None:
    for number in range(3):
        await replicate.create(asking(id=f"p{number}"))
    request = Request(HOST, query={"limit": "2"})
    body = said(await replicate.list_all(request, is_allowed=True))
    assert [entry["id"] for entry in body["results"]] == ["p2", "p1"]
    assert body["results"][1]["urls"]["get"] == URL
    assert "output" not in body["results"][0]
    assert body["previous"] is None
    path, _, query = body["next"].partition("?")
    assert path == "http://models.example:8000/v1/predictions"
    query = dict(pair.split("=", 1) for pair in query.replace("%3D", "=").split("&"))
    body = said(await replicate.list_all(Request(HOST, query=query), is_allowed=True))
    assert ([entry["id"] for entry in body["results"]], body["next"]) == (["p0"], None)
    assert (await replicate.list_all(request, is_allowed=False)).status == 403


@pytest.mark.parametrize(
    ("request_", "origin"),
    [
        (Request(HOST, scheme="https"), "https://models.example:8000"),
        (Request({**HOST, "x-forwarded-proto": "https"}), "https://models.example:8000"),
        (Request({**HOST, "x-forwarded-proto": "javascript"}), "http://models.example:8000"),
        (Request(), ""),
    ],
)
async def test_urls_lead_where_the_client_has_asked(
    replicate: Replicate, request_: Request, origin: str
) -> None:
    await replicate.create(asking())
    urls = said(await replicate.get(request_, "p1"))["urls"]
    assert urls["get"] == f"{origin}/v1/predictions/p1"


async def test_what_is_not_streamed_has_no_url_of_a_stream(service: FakeService) -> None:
    strict = Replicate(service, Streaming(strict=True))
    assert "stream" not in said(await strict.create(asking()))["urls"]
    response = await strict.stream(Request(HOST), "p1")
    assert response.status == 406
    assert said(response)["detail"].startswith("This model does not support streaming")
    service.schema = ModelSchema(PREDICT, is_train=False)
    assert "stream" in said(await strict.create(asking()))["urls"]


async def test_a_version_tells_what_the_model_takes(
    service: FakeService, replicate: Replicate
) -> None:
    response = await replicate.version("v1")
    assert (response.status, said(response)["status"]) == (503, 503)
    service.schema = ModelSchema(PREDICT, is_train=False)
    assert said(await replicate.version("v1")) == {
        "id": "v1",
        "created_at": "2026-11-24T01:02:03.456000+00:00",
        "cog_version": "0.23.1",
        "openapi_schema": PREDICT,
    }


async def test_errors_say_in_a_sentence_what_is_wrong(
    service: FakeService, replicate: Replicate
) -> None:
    unknown = await replicate.get(Request(HOST), "nope")
    assert unknown.status == 404
    assert said(unknown)["detail"].startswith("No prediction with this id")
    assert (await replicate.cancel(Request(HOST), "nope")).status == 404
    assert (await replicate.stream(Request(HOST), "nope")).status == 404
    bad = await replicate.create(Request(HOST | JSON_TYPE, b"{"))
    assert (bad.status, said(bad)["title"]) == (400, "Bad Request")
    service.refusal = AtCapacity()
    busy = await replicate.create(asking())
    assert said(busy) == {
        "title": "Conflict",
        "status": 409,
        "detail": "At capacity - all prediction slots busy",
    }
    errors = [InputError(("body", "input", "n"), "too large"), InputError(("body", "id"), "bad")]
    service.refusal = InvalidInput(errors)
    assert said(await replicate.create(asking()))["detail"] == "input.n: too large; id: bad"
    draining = problem(draining_response())
    assert draining.headers == draining_response().headers
    fine = json_response(200, {})
    assert problem(fine) is fine


async def test_the_answers_are_those_that_are_described(
    service: FakeService, replicate: Replicate
) -> None:
    service.schema = ModelSchema(PREDICT, is_train=False)
    everything = "/v1/predictions"
    one = f"{everything}/{{prediction_id}}"
    for response in (
        await replicate.create(asking()),
        await replicate.create(asking(id="p2")),
        await replicate.create(asking(input={"text": 5})),
        await replicate.create(Request(HOST | JSON_TYPE, b"{")),
    ):
        assert_described(response, "post", everything)
        assert_described(response, "post", "/v1/models/{owner}/{name}/predictions")
    for query in ({"limit": "1"}, {"limit": "0"}):
        listed = await replicate.list_all(Request(HOST, query=query), is_allowed=True)
        assert_described(listed, "get", everything)
    for name in ("p1", "nope"):
        assert_described(await replicate.get(Request(HOST), name), "get", one)
        assert_described(await replicate.cancel(Request(HOST), name), "post", f"{one}/cancel")
    version = await replicate.version("v1")
    assert_described(version, "get", "/v1/models/{owner}/{name}/versions/{version_id}")


def form(field: str, content: bytes, name: str = "a b.png") -> Request:
    request = httpx.Request("POST", "http://x/", files={field: (name, content)})
    return Request({"content-type": request.headers["content-type"]}, request.read())


@pytest.mark.parametrize("size", [0, 5, 3_000_001])
async def test_a_file_comes_back_as_the_url_that_is_the_input(
    replicate: Replicate, size: int
) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    response = await replicate.take_file(form("content", content))
    body = said(response)
    assert response.status == 201
    assert (body["name"], body["content_type"], body["size"]) == ("a b.png", "image/png", size)
    assert body["checksums"] == {"sha256": hashlib.sha256(content).hexdigest()}
    head, _, encoded = body["urls"]["get"].partition(",")
    assert head == "data:image/png;name=a%20b.png;base64"
    assert base64.b64decode(encoded) == content
    assert_described(response, "post", "/v1/files")


async def test_what_is_no_file(replicate: Replicate) -> None:
    for request, status in (
        (form("other", b"x"), 422),
        (Request(JSON_TYPE, b"{}"), 415),
        (Request(), 415),
        (Request({"content-type": "multipart/form-data; boundary=b"}, b"x"), 400),
    ):
        response = await replicate.take_file(request)
        assert response.status == status
        assert said(response)["detail"]
        assert_described(response, "post", "/v1/files")


# --- events -------------------------------------------------------------------------------------

RESULT = {"id": "p1", "logs": "", "metrics": {}}


@pytest.mark.parametrize(
    ("event", "written"),
    [
        (Event(0, EventKind.START, {"id": "p1", "status": "processing"}), KEEP_ALIVE.decode()),
        (
            Event(1, EventKind.LOG, {"data": "a\nb\n"}),
            "id: 1\nevent: logs\ndata: a\ndata: b\ndata: \n\n",
        ),
        (Event(2, EventKind.METRIC, {"name": "n", "value": 1}), KEEP_ALIVE.decode()),
        (Event(3, EventKind.OUTPUT, {"chunk": " hi"}), "id: 3\nevent: output\ndata:  hi\n\n"),
        (
            Event(4, EventKind.OUTPUT, {"chunk": {"a": 1}}),
            'id: 4\nevent: output\ndata: {"a":1}\n\n',
        ),
        (
            Event(5, EventKind.COMPLETED, {**RESULT, "status": "succeeded", "output": "x"}),
            "id: 5\nevent: done\ndata: {}\n\n",
        ),
        (
            Event(5, EventKind.COMPLETED, {**RESULT, "status": "canceled"}),
            'id: 5\nevent: done\ndata: {"reason":"canceled"}\n\n',
        ),
        (
            Event(5, EventKind.COMPLETED, {**RESULT, "status": "failed", "error": "no\nway"}),
            (
                "id: 5\nevent: error\ndata: no\ndata: way\n\n"
                'id: 5\nevent: done\ndata: {"reason":"error"}\n\n'
            ),
        ),
        (
            Gap(3, lagged=True),
            (
                "id: gap\nevent: error\ndata: SSE stream lagged; events were dropped\n\n"
                'id: gap\nevent: done\ndata: {"reason":"error"}\n\n'
            ),
        ),
    ],
)
def test_events_in_replicates_words(event: Event | Gap, written: str) -> None:
    assert replicate_form(event).decode() == written


def test_no_text_can_end_its_line() -> None:
    text = "a\rb\r\nc\u2028event: done\x85id: 7\n\nd"
    lines = replicate_form(Event(1, EventKind.OUTPUT, {"chunk": text})).decode().splitlines()
    assert lines[2:-1] == [
        f"data: {line}" for line in ("a", "b", "c", "event: done", "id: 7", "", "d")
    ]


# --- the server ---------------------------------------------------------------------------------


async def test_the_routes(service: FakeService, serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=f"{running.url}/v1") as client:
        answer = await client.post("/models/who/ever/predictions", json={"id": "p1"})
        assert (answer.status_code, answer.json()["model"]) == (201, "who/ever")
        one = answer.json()["urls"]["get"]
        assert one == f"{running.url}/v1/predictions/p1"
        assert (await client.get(one)).json()["output"] == "hello"
        assert (await client.post(answer.json()["urls"]["cancel"])).status_code == 200
        events = await client.get(answer.json()["urls"]["stream"])
        assert events.headers["content-type"] == "text/event-stream"
        assert "event: output\ndata: hello\n\n" in events.text
        last = {"last-event-id": str(service.handles[0].job.events - 1)}
        assert (await client.get(f"{one}/stream", headers=last)).status_code == 204
        (entry,) = (await client.get("/predictions")).json()["results"]
        assert entry["id"] == "p1"
        assert (await client.post("/predictions", json={})).status_code == 201
        assert (await client.get("/models/who/ever/versions/v1")).status_code == 503
        assert (await client.post("/files", files={"content": b"x"})).json()["size"] == 1
        assert "detail" in (await client.get("/deployments")).json()


async def test_a_drain_is_refused_in_replicates_words_and_tells_of_what_runs(
    service: FakeService, serve: Serve
) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=f"{running.url}/v1") as client:
        await client.post("/predictions", json={"id": "p1"})
        running.draining.begin()
        answer = await client.post("/predictions", json={})
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith("The server is shutting down")
        assert (await client.get("/predictions/p1")).status_code == 200
        assert (await client.get("/predictions/p1/stream")).status_code == 200
        assert (await client.post("/predictions/p1/cancel")).status_code == 200
