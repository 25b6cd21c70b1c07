"""One try to deliver a webhook, to a receiver on a real socket that does as it is told."""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from protocol.messages import Trace
from supervisor.config import Config, WorkerOptions
from supervisor.outgoing import parse_url
from supervisor.webhook_caller import ANSWER_TIMEOUT, HttpCaller, Message, Outcome
from tests.closed_port import closed_port
from tests.supervisor.receiver import (
    OK,
    Receiver,
    Respond,
    always,
    answer,
    in_turn,
    never,
    receiving,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

KEYS = (b"o" * 24, b"n" * 32)
BODY = json.dumps({"id": "p1", "status": "succeeded", "output": "héllo"}).encode()


@asynccontextmanager
async def calling(**config: Any) -> AsyncIterator[HttpCaller]:
    caller = HttpCaller(Config("m.py", **config))
    try:
        yield caller
    finally:
        await caller.aclose()


def message(url: str, body: bytes = BODY, trace: Trace | None = None) -> Message:
    return Message("msg_1", parse_url(url), body, trace)


async def outcome(respond: Respond, **config: Any) -> tuple[Outcome, Receiver]:
    async with receiving(respond) as receiver, calling(**config) as caller:
        return await caller.post(message(f"{receiver.url}/hook?token=hunter2")), receiver


# --- what is sent -----------------------------------------------------------------------------


async def test_a_message_is_a_post_of_json() -> None:
    result, receiver = await outcome(always(OK))
    assert result == Outcome()
    (request,) = receiver.requests
    assert (request.method, request.target) == ("POST", "/hook?token=hunter2")
    assert request.body == BODY
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("coglet-trio/")
    assert not {"authorization", "webhook-id", "webhook-signature"} & request.headers.keys()
    assert not {"transfer-encoding", "traceparent", "cookie"} & request.headers.keys()


async def test_the_operator_may_name_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COG_USER_AGENT", "director/7")
    _, receiver = await outcome(always(OK))
    assert receiver.requests[0].headers["user-agent"] == "director/7"


async def test_the_token_is_shown() -> None:
    _, receiver = await outcome(always(OK), webhook_auth_token="hunter3")
    assert receiver.requests[0].headers["authorization"] == "Bearer hunter3"


async def test_the_trace_goes_along() -> None:
    async with receiving(always(OK)) as receiver, calling() as caller:
        await caller.post(message(receiver.url, trace=Trace("00-1-2-01", "é=1")))
        await caller.post(message(receiver.url, trace=Trace("00-1-2-01")))
    first, second = receiver.requests
    assert first.headers["traceparent"] == "00-1-2-01"
    assert first.headers["tracestate"].encode("latin-1").decode() == "é=1"
    assert "tracestate" not in second.headers


async def test_both_signatures_are_those_of_the_published_package() -> None:
    _, receiver = await outcome(always(OK), webhook_secret=KEYS)
    (request,) = receiver.requests
    for key in KEYS:
        secret = "whsec_" + base64.b64encode(key).decode()
        assert Webhook(secret).verify(request.body, request.headers) == json.loads(BODY)
    assert request.headers["webhook-id"] == "msg_1"


async def test_a_big_message_is_sent_whole_and_signed() -> None:
    body = b'"' + b"x" * 5_000_000 + b'"'
    async with receiving(always(OK)) as receiver, calling(webhook_secret=KEYS[:1]) as caller:
        assert await caller.post(message(receiver.url, body)) == Outcome()
    (request,) = receiver.requests
    assert request.size == len(body)
    assert request.headers["webhook-signature"].startswith("v1,")


async def test_a_connection_is_used_again_and_cookies_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On a busy machine the next message may come late.
    monkeypatch.setattr("supervisor.outgoing._KEPT_FOR", 1000.0)
    receiver = Receiver(always(answer(200, "Set-Cookie: a=b")))
    connections = []

    async def serve(stream: trio.SocketStream) -> None:
        connections.append(stream)
        await receiver.serve(stream)

    async with calling() as caller, trio.open_nursery() as nursery:
        listener, *_ = await nursery.start(trio.serve_tcp, serve, 0)
        receiver.port = listener.socket.getsockname()[1]
        for _ in range(3):
            assert await caller.post(message(receiver.url)) == Outcome()
        nursery.cancel_scope.cancel()
    assert len(connections) == 1
    assert len(receiver.requests) == 3
    assert all("cookie" not in request.headers for request in receiver.requests)


# --- what is answered -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_success_is_one(status: int) -> None:
    assert (await outcome(always(answer(status))))[0] == Outcome()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_receiver_in_trouble_is_worth_another_try(status: int) -> None:
    result, _ = await outcome(always(answer(status)))
    assert result == Outcome(f"it answered {status}", again=True)


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 410, 413, 501, 505])
async def test_a_receiver_that_does_not_want_it_is_not(status: int) -> None:
    result, _ = await outcome(always(answer(status)))
    assert result == Outcome(f"it answered {status}")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("9" * 5000, 999_999_999.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
    ],
)
async def test_a_receiver_may_ask_for_time(value: str, seconds: float | None) -> None:
    result, _ = await outcome(always(answer(429, f"Retry-After: {value}")))
    assert result.retry_after == seconds
    assert result.again


async def test_a_receiver_may_ask_for_time_by_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True)
    result, _ = await outcome(always(answer(503, f"Retry-After: {date}")))
    assert result.retry_after is not None
    assert 3000 < result.retry_after <= 3600


async def test_an_answer_counts_even_if_its_body_never_comes() -> None:
    broken = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nxx"
    result, receiver = await outcome(in_turn(broken, None))
    assert result == Outcome()
    assert len(receiver.requests) == 1


# --- what goes wrong --------------------------------------------------------------------------


async def test_a_reset_is_worth_another_try() -> None:
    result, _ = await outcome(always(None))
    assert result.again
    assert result.problem


async def test_nobody_there_is_worth_another_try() -> None:
    async with calling() as caller:
        with closed_port() as port:
            result = await caller.post(message(f"http://u:hunter2@127.0.0.1:{port}/?token=hunter3"))
    assert result.again
    assert result.problem.startswith("ConnectError")
    assert "hunter" not in result.problem


async def test_garbage_is_worth_another_try() -> None:
    result, _ = await outcome(always(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    assert result == Outcome("RemoteProtocolError", again=True)


async def test_a_receiver_that_hangs_is_given_its_time(mock_clock: MockClock) -> None:
    async with receiving(never) as receiver, calling() as caller, trio.open_nursery() as nursery:
        results = []

        async def post() -> None:
            results.append(await caller.post(message(receiver.url)))

        nursery.start_soon(post)
        await receiver.wait_begun(1)
        mock_clock.jump(ANSWER_TIMEOUT - 1)
        await trio.testing.wait_all_tasks_blocked()
        assert results == []
        mock_clock.jump(1.1)
    assert results == [Outcome("no answer within 30 s", again=True)]


async def test_a_host_that_hangs_does_not_hold_up_others(mock_clock: MockClock) -> None:
    async with (
        receiving(never) as hanging,
        receiving(always(OK)) as well,
        calling() as caller,
        trio.open_nursery() as nursery,
    ):
        other = well.url.replace("127.0.0.1", "localhost")
        for _ in range(500):
            nursery.start_soon(caller.post, message(hanging.url))
        await hanging.wait_begun(32)
        assert await caller.post(message(other)) == Outcome()
        assert hanging.begun == 32
        nursery.cancel_scope.cancel()


@given(
    st.text()
    | st.text().map("http://{}/".format)
    | st.text().map("http://h/{}".format)
    | st.from_regex(r"http://([a-z0-9-]{1,8}\.)?xn--[a-z0-9-]{0,8}(\.[a-z]{2})?/", fullmatch=True)
)
@example("http://xn--a/")
def test_no_text_of_a_client_is_more_than_no_url(text: str) -> None:
    with suppress(ValueError):
        assert parse_url(text).host


@pytest.mark.parametrize(
    "url",
    [
        "http://" + "a" * 70 + ".example/",
        "http://a..b/",
        "http://%00/",
        "http://a b/",
        "http://h%2e/",
    ],
)
async def test_a_host_that_is_none_is_an_outcome(url: str) -> None:
    async with calling() as caller:
        try:
            sent = message(url)
        except ValueError:
            return
        assert (await caller.post(sent)).problem


# --- redirects --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
async def test_a_redirect_that_keeps_the_body_is_followed(status: int) -> None:
    result, receiver = await outcome(in_turn(answer(status, "Location: /there"), OK))
    assert result == Outcome()
    assert [(each.method, each.target) for each in receiver.requests] == [
        ("POST", "/hook?token=hunter2"),
        ("POST", "/there"),
    ]
    assert receiver.requests[1].body == BODY


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_one_that_loses_the_body_is_not(status: int) -> None:
    result, receiver = await outcome(in_turn(answer(status, "Location: /there"), OK))
    assert result == Outcome(
        f"it redirects ({status}) without the body (307 and 308 would keep it)"
    )
    assert len(receiver.requests) == 1


async def test_redirects_end() -> None:
    result, receiver = await outcome(always(answer(307, "Location: /again")))
    assert result == Outcome("it redirects more than 5 times")
    assert len(receiver.requests) == 6


async def test_the_token_does_not_go_to_another_host() -> None:
    async with receiving(always(OK)) as other:
        redirect = answer(307, f"Location: {other.url}/")
        result, receiver = await outcome(always(redirect), webhook_auth_token="hunter3")
    assert result == Outcome()
    assert "authorization" in receiver.requests[0].headers
    assert "authorization" not in other.requests[0].headers


async def test_a_redirect_is_judged_as_the_url_is() -> None:
    result, _ = await outcome(always(answer(307, "Location: http://169.254.169.254/latest/")))
    assert result == Outcome("its URL leads to a link-local address; those are always refused")


async def test_loopback_is_refused_if_the_operator_wants_it() -> None:
    result, receiver = await outcome(always(OK), worker=WorkerOptions(deny_private_urls=True))
    assert result == Outcome("its URL leads to a loopback address (refused by --deny-private-urls)")
    assert receiver.begun == 0
