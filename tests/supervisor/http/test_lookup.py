"""What is told of predictions, in flight or remembered: of one, and in the list."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.big_json import encoders
from supervisor.config import Limits
from supervisor.http.file_answer import result_response
from supervisor.http.lookup import LIMIT_DEFAULT, LIMIT_MAX, get_prediction, list_predictions
from supervisor.http.replicate import Replicate
from supervisor.http.replicate_stream import replicate_form
from supervisor.http.stream import Form, Streaming, coglet_form, stream_known
from supervisor.http.values import PIECE, Request, Response
from supervisor.interface import OFF_THE_LOOP, PredictionRequest
from supervisor.model_schema import MASK, ModelSchema
from tests.supervisor.http.fake_service import FakeService

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def accept(service: FakeService, count: int) -> None:
    for number in range(count):
        service.submit(PredictionRequest({"n": number}, f"p{number}"))


async def one(service: FakeService, prediction_id: str) -> dict[str, Any]:
    response = await get_prediction(service, prediction_id)
    assert response.status == 200
    body: dict[str, Any] = json.loads(response.body)
    return body


async def listed(service: FakeService, **query: str) -> Response:
    return await list_predictions(service, Request(query=query), "/predictions", is_allowed=True)


async def page(service: FakeService, **query: str) -> dict[str, Any]:
    response = await listed(service, **query)
    assert response.status == 200
    body: dict[str, Any] = json.loads(response.body)
    return body


async def test_a_prediction_from_beginning_to_end(service: FakeService) -> None:
    secret = {"properties": {"key": {"x-cog-secret": True}}}
    service.schema = ModelSchema({"components": {"schemas": {"Input": secret}}}, is_train=False)
    service.hold = True
    service.submit(PredictionRequest({"key": "hunter2"}, "p1"))
    body = await one(service, "p1")
    created = datetime.fromisoformat(body.pop("created_at"))
    assert created.utcoffset() is not None
    waiting = {"id": "p1", "status": "starting", "logs": "", "metrics": {}, "input": {"key": MASK}}
    assert body == waiting

    handle = service.handles[0]
    handle.start()
    handle.log("half\n")
    handle.output("a", "b")
    body = await one(service, "p1")
    assert datetime.fromisoformat(body["started_at"]) >= created
    assert (body["status"], body["logs"], body["output"]) == ("processing", "half\n", ["a", "b"])
    assert "completed_at" not in body

    handle.succeed(as_list=True)
    body = await one(service, "p1")
    assert body["completed_at"] >= body["started_at"] >= body["created_at"]
    assert (body["status"], body["output"], body["input"]) == (
        "succeeded",
        ["a", "b"],
        {"key": MASK},
    )
    assert body["metrics"]["predict_time"] >= 0


async def test_what_failed_says_why(service: FakeService) -> None:
    service.hold = True
    accept(service, 1)
    service.handles[0].fail("boom")
    body = await one(service, "p0")
    assert (body["status"], body["error"], "output" in body) == ("failed", "boom", False)


@pytest.mark.parametrize("name", ["p1", "..", "x" * 1000])
async def test_what_nobody_knows(service: FakeService, name: str) -> None:
    accept(service, 1)
    response = await get_prediction(service, name)
    assert response.status == 404
    assert set(json.loads(response.body)) == {"detail"}


async def test_what_is_not_remembered_is_not_known() -> None:
    service = FakeService(Limits(keep_count=1))
    accept(service, 2)
    assert (await get_prediction(service, "p0")).status == 404
    assert [entry["id"] for entry in (await page(service))["results"]] == ["p1"]


async def test_an_entry_of_the_list_is_small(service: FakeService) -> None:
    accept(service, 1)
    (entry,) = (await page(service))["results"]
    assert set(entry) == {"id", "status", "metrics", "created_at", "started_at", "completed_at"}


async def test_the_list_is_there_before_anything_is_in_it(service: FakeService) -> None:
    assert await page(service) == {"results": [], "next": None}


async def test_the_newest_come_first_page_by_page(service: FakeService) -> None:
    accept(service, LIMIT_MAX + 5)
    first = await page(service)
    assert len(first["results"]) == LIMIT_DEFAULT
    assert first["results"][0]["id"] == f"p{LIMIT_MAX + 4}"
    path, _, query = first["next"].partition("?limit=20&cursor=")
    assert path == "/predictions"
    # What comes meanwhile moves nothing.
    service.submit(PredictionRequest({}, "late"))
    rest = await page(service, limit=str(LIMIT_MAX), cursor=query)
    assert [entry["id"] for entry in rest["results"]] == [f"p{n}" for n in range(84, -1, -1)]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "query",
    [{"limit": value} for value in ("0", "101", "-1", "1.5", "", "x", "\u0663", "9" * 5000)]
    + [{"cursor": value} for value in ("", "1", "AAAA", "AAAAAAA=", "AAAAAAAAAAAA", "\u00e4" * 8)],
)
async def test_what_is_no_limit_or_no_cursor(service: FakeService, query: dict[str, str]) -> None:
    response = await listed(service, **query)
    assert response.status == 422
    ((name, value),) = query.items()
    (error,) = json.loads(response.body)["detail"]
    assert error["loc"] == ["query", name]
    assert value not in error["msg"] or len(value) < 2


async def test_the_list_is_not_for_everybody(service: FakeService) -> None:
    accept(service, 1)
    response = await list_predictions(service, Request(), "/predictions", is_allowed=False)
    assert response.status == 403
    assert "--auth-token" in json.loads(response.body)["detail"]


# --- what is big --------------------------------------------------------------------------------

BIG = ["x" * OFF_THE_LOOP, 1]


async def streamed(service: FakeService, form: Form) -> bytes:
    response = await stream_known(service, Request(), "p1", Streaming(), form)
    assert response.pieces is not None
    async with response.pieces as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize(
    "ask",
    [
        lambda service: get_prediction(service, "p1"),
        lambda service: Replicate(service, Streaming()).get(Request(), "p1"),
        lambda service: Replicate(service, Streaming()).cancel(Request(), "p1"),
        lambda service: result_response(Request(), service.recall("p1").view()),
        lambda service: streamed(service, coglet_form),
        lambda service: streamed(service, replicate_form),
    ],
)
async def test_big_answers_are_written_in_a_thread(
    service: FakeService, ask: Callable[[FakeService], Awaitable[Response | bytes]]
) -> None:
    service.output = BIG
    service.submit(PredictionRequest({}, "p1"))
    threads = encoders()
    threads.total_tokens = 1
    await threads.acquire_on_behalf_of(service)
    answers: list[Response | bytes] = []

    async def asking() -> None:
        answers.append(await ask(service))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asking)
        await wait_all_tasks_blocked()
        assert answers == [], "it waits for a thread"
        threads.release_on_behalf_of(service)
    (answer,) = answers
    body = answer if isinstance(answer, bytes) else answer.body
    assert b"x" * OFF_THE_LOOP in body
    if isinstance(answer, Response):
        assert json.loads(answer.body)["output"] == BIG


async def test_a_big_event_is_cut(service: FakeService) -> None:
    service.output = "x" * 5 * PIECE
    service.submit(PredictionRequest({}, "p1"))
    response = await stream_known(service, Request(), "p1", Streaming())
    assert response.pieces is not None
    async with response.pieces as pieces:
        sizes = [len(piece) async for piece in pieces]
    assert max(sizes) == PIECE
    assert sum(sizes) > 10 * PIECE
