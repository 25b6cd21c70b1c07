"""Webhooks of the real command, to a receiver on a real socket."""

from __future__ import annotations

import json
import signal

import trio
from standardwebhooks.webhooks import Webhook

from tests.end_to_end.server import serving, within
from tests.supervisor.receiver import OK, Received, Receiver, always, answer, in_turn, receiving

SECRET = "whsec_" + "QUFB" * 8
MODEL = "sleeper.py:Predictor"


def states(receiver: Receiver) -> list[str]:
    return [json.loads(request.body)["status"] for request in receiver.requests]


async def test_a_webhook_is_told_of_a_prediction_and_signed() -> None:
    async with (
        receiving(always(OK)) as receiver,
        serving("echo.py:Predictor", COGLET_WEBHOOK_SECRET=SECRET) as server,
    ):
        asked = {"id": "p1", "input": {"text": "hi"}, "webhook": receiver.url}
        response = await server.http.post(
            "/predictions",
            json=asked,
            headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
        )
        with within(20):
            await receiver.wait_begun(2)
            assert await server.stop() == 0
    assert states(receiver)[0] == "processing"
    assert states(receiver)[-1] == "succeeded"
    for request in receiver.requests:
        Webhook(SECRET).verify(request.body, request.headers)
        assert "a" * 32 in request.headers["traceparent"]
    assert json.loads(receiver.requests[-1].body) == response.json()


async def test_the_end_is_told_before_the_server_ends() -> None:
    respond = in_turn(answer(503, "Retry-After: 100"), answer(500), None, OK)
    async with receiving(respond) as receiver, serving(MODEL) as server:
        asked = {"input": {"seconds": 0.5}, "webhook": receiver.url}
        asked["webhook_events_filter"] = ["completed"]
        prefer = {"prefer": "respond-async"}
        response = await server.http.post("/predictions", json=asked, headers=prefer)
        assert response.status_code == 202
        with within(20):
            assert await server.stop() == 0
    assert states(receiver) == ["succeeded"] * 4


async def test_what_is_stopped_at_the_end_is_told_too() -> None:
    async with receiving(always(OK)) as receiver, serving(MODEL, "--grace", "0.1") as server:
        asked = {"input": {"seconds": 300}, "webhook": receiver.url}
        prefer = {"prefer": "respond-async"}
        await server.http.post("/predictions", json=asked, headers=prefer)
        with within(20):
            await receiver.wait_begun(1)
            assert await server.stop(signal.SIGINT) == 0
    assert states(receiver)[0] == "processing"
    assert states(receiver)[-1] in ("canceled", "failed")


async def test_who_cannot_be_told_is_named() -> None:
    async def never(_: Received) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async with receiving(never) as receiver, serving(MODEL, "--grace", "1") as server:
        asked = {"id": "lost", "input": {"seconds": 0}, "webhook": f"{receiver.url}/?token=hunter2"}
        assert (await server.http.post("/predictions", json=asked)).status_code == 200
        with within(20):
            assert await server.stop() == 0
    (line,) = (each for each in server.lines if "before the end" in each["fields"]["message"])
    assert line["fields"]["prediction_id"] == "lost"
    assert "hunter2" not in json.dumps(server.lines)
