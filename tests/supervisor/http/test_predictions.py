"""The handlers that run predictions, against a service without a worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from supervisor.http.predictions import cancel_prediction, create_prediction, put_prediction
from supervisor.http.request_body import OFF_THE_LOOP
from supervisor.http.stream import Streaming
from supervisor.http.values import Request, Response
from supervisor.interface import (
    AtCapacity,
    DuplicateId,
    InputError,
    InvalidInput,
    NotReady,
    Refusal,
    Webhook,
)
from supervisor.model_schema import ModelSchema

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.supervisor.http.fake_service import FakeService

JSON = {"content-type": "application/json"}
ASYNC = {**JSON, "prefer": "respond-async"}
STREAMING = Streaming()


def request(value: Any = None, headers: dict[str, str] = JSON) -> Request:
    return Request(headers, json.dumps({} if value is None else value).encode())


def body_of(response: Response) -> Any:
    """The body as JSON; the time that the prediction took is not compared."""
    assert response.content_type == "application/json"
    body = json.loads(response.body)
    if "metrics" in body and not body["status"].endswith("ing"):
        assert body["metrics"].pop("predict_time") >= 0
    return body


async def test_a_prediction_that_succeeds(service: FakeService) -> None:
    response = await create_prediction(service, request({"id": "p1", "input": {"x": 1}}), STREAMING)
    assert response.status == 200
    assert body_of(response) == {
        "id": "p1",
        "status": "succeeded",
        "logs": "log\n",
        "metrics": {},
        "output": "hello",
    }


async def test_an_output_of_null_is_said(service: FakeService) -> None:
    service.output = None
    body = body_of(await create_prediction(service, request(), STREAMING))
    assert body["output"] is None
    assert body["id"] == service.handles[0].view().id


async def test_what_the_client_said_reaches_the_service(service: FakeService) -> None:
    sent = {"id": "p", "input": {"x": [2**80]}, "context": {"k": "v"}, "webhook": "http://h/"}
    sent["output_file_prefix"] = "http://files/"
    trace = {"traceparent": "00-aa-bb-01", "tracestate": "k=v"}
    await create_prediction(service, request(sent, {**JSON, **trace}), STREAMING)
    (handle,) = service.handles
    assert handle.request.id == "p"
    assert handle.request.input == {"x": [2**80]}
    assert handle.request.context == {"k": "v"}
    assert (handle.request.trace.traceparent, handle.request.trace.tracestate) == (
        "00-aa-bb-01",
        "k=v",
    )
    assert handle.request.webhook == Webhook(
        "http://h/", frozenset({"start", "output", "logs", "completed"})
    )
    assert handle.request.output_file_prefix == "http://files/"
    assert not handle.request.is_training
    assert handle.request.size > 50
    await create_prediction(service, request(), STREAMING)
    assert service.handles[1].request.webhook is None
    assert service.handles[1].request.trace is None
    assert service.handles[1].request.id is None


async def test_a_prediction_that_fails_has_its_error_and_its_logs(
    service: FakeService, nursery: trio.Nursery
) -> None:
    service.hold = True
    answers: list[Response] = []

    async def ask() -> None:
        answers.append(await create_prediction(service, request({"id": "p"}), STREAMING))

    nursery.start_soon(ask)
    await service.submitted.wait()
    handle = service.handles[0]
    handle.start()
    handle.log("so far\n")
    handle.output("half")
    handle.fail("boom")
    await trio.testing.wait_all_tasks_blocked()
    assert answers[0].status == 200
    assert body_of(answers[0]) == {
        "id": "p",
        "status": "failed",
        "logs": "so far\n",
        "metrics": {},
        "error": "boom",
    }


async def test_respond_async_answers_at_once_and_the_prediction_goes_on(
    service: FakeService,
) -> None:
    service.hold = True
    response = await create_prediction(service, request({"id": "as1"}, ASYNC), STREAMING)
    assert (response.status, response.headers) == (202, (("preference-applied", "respond-async"),))
    assert body_of(response) == {"id": "as1", "status": "starting"}
    assert not service.handles[0].is_canceled


@pytest.mark.parametrize("prefer", ["wait", "wait=5", "respond-async, wait=5"])
async def test_who_says_how_long_it_waits_cancels_nothing_by_leaving(
    service: FakeService, prefer: str
) -> None:
    service.hold = True
    async with trio.open_nursery() as client:
        waits = {**JSON, "prefer": prefer}
        client.start_soon(create_prediction, service, request({}, waits), STREAMING)
        await service.submitted.wait()
        client.cancel_scope.cancel()
    assert not service.handles[0].is_canceled


async def test_wait_is_over_when_the_time_is_over(
    service: FakeService, autojump_clock: MockClock
) -> None:
    service.hold = True
    waits = {**JSON, "prefer": "wait=5"}
    response = await create_prediction(service, request({"id": "p", "input": {}}, waits), STREAMING)
    assert trio.current_time() == 5.0
    expected = {"id": "p", "status": "starting", "logs": "", "metrics": {}, "input": {}}
    assert (response.status, body_of(response)) == (202, expected)
    assert response.headers == (("preference-applied", "wait=5"),)
    assert not service.handles[0].is_canceled

    response = await put_prediction(
        service, request({}, {**JSON, "prefer": "respond-async, wait=2"}), "p", STREAMING
    )
    assert (trio.current_time(), response.status) == (7.0, 202)
    assert response.headers == (("preference-applied", "respond-async, wait=2"),)


async def test_wait_is_over_when_the_prediction_is(
    service: FakeService, autojump_clock: MockClock
) -> None:
    service.hold = True
    answers: list[Response] = []

    async def ask(method: Any, *under: str) -> None:
        waits = request({"id": "p"}, {**JSON, "prefer": "wait=5, respond-async"})
        answers.append(await method(service, waits, *under, STREAMING))

    async with trio.open_nursery() as clients:
        clients.start_soon(ask, create_prediction)
        await service.submitted.wait()
        clients.start_soon(ask, put_prediction, "p")
        await trio.sleep(3)
        service.handles[0].output("done")
        service.handles[0].succeed()
    assert trio.current_time() == 3.0
    for answer in answers:
        assert (answer.status, body_of(answer)["output"]) == (200, "done")
        assert answer.headers == (("preference-applied", "wait=5"),)
    assert len(answers) == 2


async def test_a_client_that_leaves_cancels_its_prediction(service: FakeService) -> None:
    service.hold = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(create_prediction, service, request(), STREAMING)
        await service.submitted.wait()
        nursery.cancel_scope.cancel()
    assert service.handles[0].is_canceled


@pytest.mark.parametrize(
    ("refusal", "status", "body", "headers"),
    [
        (
            AtCapacity(),
            409,
            {"error": "At capacity - all prediction slots busy", "status": "failed"},
            (),
        ),
        (
            NotReady("Setup failed: no weights"),
            503,
            {"error": "Setup failed: no weights", "status": "failed"},
            (),
        ),
        (
            NotReady("Restarting.", retry_after=1.2),
            503,
            {"error": "Restarting.", "status": "failed"},
            (("retry-after", "2"),),
        ),
        (
            NotReady("Restarting.", retry_after=0.0),
            503,
            {"error": "Restarting.", "status": "failed"},
            (("retry-after", "1"),),
        ),
        (
            DuplicateId("p1"),
            409,
            {"error": "A prediction with the id p1 is in flight already", "status": "failed"},
            (),
        ),
        (
            InvalidInput([InputError(("body", "input", "n"), "too big")]),
            422,
            {"detail": [{"loc": ["body", "input", "n"], "msg": "too big", "type": "value_error"}]},
            (),
        ),
    ],
)
@pytest.mark.parametrize("headers_of_request", [JSON, ASYNC])
async def test_refusals(
    service: FakeService,
    refusal: Refusal,
    status: int,
    body: Any,
    headers: Any,
    headers_of_request: dict[str, str],
) -> None:
    service.refusal = refusal
    response = await create_prediction(service, request({}, headers_of_request), STREAMING)
    assert (response.status, body_of(response), response.headers) == (status, body, headers)


async def test_a_post_with_the_id_of_one_in_flight_is_refused(service: FakeService) -> None:
    service.hold = True
    await create_prediction(service, request({"id": "p1"}, ASYNC), STREAMING)
    response = await create_prediction(service, request({"id": "p1"}), STREAMING)
    assert response.status == 409
    assert "p1" in body_of(response)["error"]
    assert len(service.handles) == 1


@pytest.mark.parametrize("body", [b"garbage", b"[]"])
async def test_a_bad_body_never_reaches_the_service(service: FakeService, body: bytes) -> None:
    for answer in (
        await create_prediction(service, Request(JSON, body), STREAMING),
        await put_prediction(service, Request(JSON, body), "p", STREAMING),
    ):
        assert answer.status in (400, 422)
        assert "detail" in body_of(answer)
    assert service.handles == []


async def test_put_runs_under_the_id_of_the_path(service: FakeService) -> None:
    response = await put_prediction(service, request({"input": {"x": 1}}), "p1", STREAMING)
    assert response.status == 200
    assert body_of(response)["id"] == "p1"


@pytest.mark.parametrize("headers", [JSON, ASYNC, {**JSON, "prefer": "wait=5"}])
async def test_put_of_what_has_succeeded_is_answered_with_its_result(
    service: FakeService, headers: dict[str, str]
) -> None:
    first = await put_prediction(service, request({"input": {"a": 1, "b": 2}}), "p1", STREAMING)
    again = request({"id": "p1", "input": {"b": 2, "a": 1}}, headers)
    second = await put_prediction(service, again, "p1", STREAMING)
    assert (second.status, body_of(second)) == (200, body_of(first))
    assert len(service.handles) == 1


@pytest.mark.parametrize("how", ["another input", "failed", "canceled", "a training"])
async def test_put_of_what_has_ended_otherwise_runs_anew(service: FakeService, how: str) -> None:
    service.hold = True
    await put_prediction(service, request({"input": {"a": 1}}, ASYNC), "p1", STREAMING)
    handle = service.handles[0]
    match how:
        case "failed":
            handle.fail("boom")
        case "canceled":
            handle.job.cancel()
        case _:
            handle.succeed()
    service.hold = False
    again = request({"input": {"a": 2 if how == "another input" else 1}})
    is_training = how == "a training"
    response = await put_prediction(service, again, "p1", STREAMING, is_training=is_training)
    assert (response.status, body_of(response)["output"]) == (200, "hello")
    assert len(service.handles) == 2


async def test_a_large_input_is_compared_too(service: FakeService) -> None:
    large = {"input": {"x": "y" * OFF_THE_LOOP}}
    for _ in range(2):
        assert (await put_prediction(service, request(large), "p1", STREAMING)).status == 200
    assert len(service.handles) == 1
    large["input"]["x"] += "z"
    assert (await put_prediction(service, request(large), "p1", STREAMING)).status == 200
    assert len(service.handles) == 2


async def test_put_with_another_id_in_its_body(service: FakeService) -> None:
    response = await put_prediction(service, request({"id": "other"}), "p1", STREAMING)
    assert response.status == 422
    assert body_of(response) == {
        "detail": [
            {
                "loc": ["body", "id"],
                "msg": "prediction ID must match the ID supplied in the URL",
                "type": "value_error",
            }
        ]
    }


@pytest.mark.parametrize("bad", ["..", "a b", "x" * 129])
async def test_put_with_an_id_that_may_not_be_used(service: FakeService, bad: str) -> None:
    response = await put_prediction(service, request(), bad, STREAMING)
    assert response.status == 422
    assert body_of(response)["detail"][0]["loc"] == ["body", "id"]


async def test_put_of_one_in_flight_reports_it_and_ignores_the_rest(service: FakeService) -> None:
    service.hold = True
    await put_prediction(service, request({"input": {"text": "a"}}, ASYNC), "as1", STREAMING)
    handle = service.handles[0]
    handle.start()
    handle.log("log\n")
    handle.metric("tokens", 2)
    expected = {
        "id": "as1",
        "status": "processing",
        "input": {"text": "a"},
        "logs": "log\n",
        "metrics": {"tokens": 2},
    }
    response = await put_prediction(service, request({"input": {"text": "b"}}), "as1", STREAMING)
    assert (response.status, body_of(response)) == (202, expected)
    handle.output("a0")
    response = await put_prediction(
        service, request({}, {**JSON, "accept": "*/*"}), "as1", STREAMING
    )
    assert (response.status, body_of(response)) == (202, {**expected, "output": ["a0"]})
    assert len(service.handles) == 1


async def test_a_client_that_only_looks_on_cancels_nothing(service: FakeService) -> None:
    service.hold = True
    await put_prediction(service, request({}, ASYNC), "as1", STREAMING)
    await put_prediction(service, request({}), "as1", STREAMING)
    assert not service.handles[0].is_canceled


async def test_an_event_stream_of_what_has_not_opted_in_is_refused_to_the_strict(
    service: FakeService,
) -> None:
    service.refusal = InvalidInput([])  # of which nothing is said: the stream is refused first
    headers = {**JSON, "accept": "text/event-stream"}
    response = await create_prediction(service, request({}, headers), Streaming(strict=True))
    reason = "This model does not support streaming responses."
    error = f"{reason} Add @cog.streaming to predict() to enable SSE."
    assert (response.status, body_of(response)) == (406, {"error": error})
    response = await create_prediction(service, request({}, headers), STREAMING)
    assert response.status == 422
    service.schema = ModelSchema(
        {"paths": {"/predictions": {"post": {"x-cog-streaming": True}}}}, is_train=False
    )
    response = await create_prediction(service, request({}, headers), Streaming(strict=True))
    assert response.status == 422
    assert service.handles == []


async def test_trainings_are_not_streamed(service: FakeService) -> None:
    asked = request({}, {**JSON, "accept": "text/event-stream"})
    for response in (
        await create_prediction(service, asked, STREAMING, is_training=True),
        await put_prediction(service, asked, "t1", STREAMING, is_training=True),
    ):
        assert response.status == 406
        error = "Training endpoints do not support streaming responses."
        assert body_of(response) == {"error": error}
    assert service.handles == []


async def test_trainings_have_words_of_their_own_for_their_ids(service: FakeService) -> None:
    asked = request({"id": "other"})
    response = await put_prediction(service, asked, "t1", STREAMING, is_training=True)
    message = "training ID must match the ID supplied in the URL"
    assert body_of(response)["detail"][0]["msg"] == message


async def test_cancel(service: FakeService) -> None:
    service.hold = True
    await create_prediction(service, request({"id": "p1"}, ASYNC), STREAMING)
    response = await cancel_prediction(service, "p1")
    assert (response.status, body_of(response)) == (200, {})
    assert service.handles[0].is_canceled
    response = await cancel_prediction(service, "p1")
    assert (response.status, body_of(response)) == (404, {})


async def test_who_has_asked_again_and_waits_keeps_it_going(service: FakeService) -> None:
    service.hold = True
    first = trio.CancelScope()
    answers: list[Response] = []

    async def ask() -> None:
        with first:
            await put_prediction(service, request({}), "p1", STREAMING)

    async def ask_again() -> None:
        asked = request({}, {**JSON, "prefer": "wait=60"})
        answers.append(await put_prediction(service, asked, "p1", STREAMING))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await service.submitted.wait()
        nursery.start_soon(ask_again)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        (handle,) = service.handles
        assert not handle.is_canceled
        handle.start()
        handle.fail("boom")
    assert body_of(answers[0])["error"] == "boom"
