"""Webhooks over real sockets, to a receiver that fails in every way and then recovers."""

from __future__ import annotations

import json
import socket
from collections import Counter
from typing import TYPE_CHECKING

import trio
from structlog.testing import capture_logs

from supervisor.config import Config
from supervisor.interface import Webhook
from supervisor.telemetry import Telemetry
from supervisor.webhooks import Webhooks, open_http_caller
from tests.supervisor.receiver import OK, Received, Receiver, answer
from tests.supervisor.test_webhooks import ALL, Played, played

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FAILURES = [answer(500), None, answer(429, "Retry-After: 0"), b"garbage\r\n\r\n", answer(502)]


class Failing:
    """Fails in every way, for each prediction's end anew; progress fails, too."""

    def __init__(self) -> None:
        self.tries: Counter[str] = Counter()
        self.taken: dict[str, list[str]] = {}

    async def respond(self, request: Received) -> bytes | None:
        await trio.lowlevel.checkpoint()
        state = json.loads(request.body)
        if state["status"] == "processing":
            return FAILURES[len(state.get("output", [])) % len(FAILURES)]
        self.tries[state["id"]] += 1
        if self.tries[state["id"]] <= len(FAILURES):
            return FAILURES[self.tries[state["id"]] - 1]
        self.taken.setdefault(state["id"], []).append(state["status"])
        return OK


async def run_through(prediction: Played) -> None:
    prediction.start()
    for number in range(5):
        await trio.sleep(0.01)
        prediction.output(number)
    prediction.succeed()


async def test_every_end_is_told_once_after_the_receiver_has_recovered() -> None:
    failing = Failing()
    receiver = Receiver(failing.respond)
    webhooks = Webhooks(Config("m.py"), Telemetry(), open_http_caller)
    ids = [f"p{number}" for number in range(30)]
    with capture_logs() as logs, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # nobody listens: who connects is refused
        receiver.port = bound.getsockname()[1]
        async with trio.open_nursery() as nursery:
            await nursery.start(webhooks.run)
            async with trio.open_nursery() as predictions:
                for prediction_id in ids:
                    prediction = played(prediction_id)
                    url = f"{receiver.url}/?token=hunter2"
                    webhooks.watch(prediction.job, Webhook(url, ALL), None)
                    predictions.start_soon(run_through, prediction)
            bound.listen(100)
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(bound))
            nursery.start_soon(trio.serve_listeners, receiver.serve, [listener])
            with trio.fail_after(30):
                await webhooks.delivered()
            nursery.cancel_scope.cancel()
    assert failing.taken == {prediction_id: ["succeeded"] for prediction_id in ids}
    assert {entry["log_level"] for entry in logs} == {"warning"}
    assert "hunter2" not in repr(logs)


async def test_certificates_that_cannot_be_loaded_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    webhooks = Webhooks(Config("m.py"), Telemetry(), open_http_caller)
    with capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            await nursery.start(webhooks.run)
            webhooks.watch(played().job, Webhook("http://h.example/", ALL), None)
            with trio.fail_after(30):
                await webhooks.delivered()
            nursery.cancel_scope.cancel()
    (entry,) = logs
    assert entry["event"] == "Webhook given up"
    assert entry["reason"].startswith("the certificates to trust cannot be loaded")
