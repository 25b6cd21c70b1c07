"""Connections to a real server: clients that leave, limits, the end."""

from __future__ import annotations

import json
import socket
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from supervisor.config import Config, Limits, Times
from supervisor.http.listening import ListenError
from supervisor.http.server import serve_http

if TYPE_CHECKING:
    from trio.testing import MockClock

    from tests.supervisor.http.fake_service import FakeService, Running, Serve


from tests.supervisor.http.wire import message, read_answer, read_to_end

# --- clients that leave -------------------------------------------------------------------------


@pytest.mark.parametrize("after", [b"", message(b'{"id":"second"}'), b"GET /hal"])
async def test_a_client_that_leaves_cancels_what_it_waits_for(
    service: FakeService, serve: Serve, after: bytes
) -> None:
    service.hold = True
    async with serve() as running:
        stream = await running.connect()
        await stream.send_all(message(b'{"id":"first"}') + after)
        await service.submitted.wait()
        await stream.aclose()
        await service.handles[0].wait()
        await running.draining.wait_answered()
    assert [handle.request.id for handle in service.handles] == ["first"]


async def test_a_client_that_resets_cancels_what_it_waits_for(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running:
        stream = await running.connect()
        await stream.send_all(message())
        await service.submitted.wait()
        linger = socket.SO_LINGER
        stream.socket.setsockopt(socket.SOL_SOCKET, linger, b"\x01\0\0\0\0\0\0\0")
        await stream.aclose()
        await service.handles[0].wait()


async def test_a_client_that_leaves_after_202_cancels_nothing(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running:
        async with await running.connect() as stream:
            await stream.send_all(message(b"{}", "prefer: respond-async"))
            assert (await read_answer(stream))[0] == 202
        await running.draining.wait_answered()
        async with await running.connect() as stream:  # a round trip later
            await stream.send_all(message(b"{}", "prefer: respond-async"))
            assert (await read_answer(stream))[0] == 202
        assert not service.handles[0].is_canceled


async def test_a_client_that_leaves_inside_its_body_runs_nothing(
    service: FakeService, serve: Serve
) -> None:
    async with serve() as running:
        async with await running.connect() as stream:
            await stream.send_all(message(b'{"input":{}}')[:-3])
        await running.draining.wait_answered()
        async with await running.connect() as stream:
            await stream.send_all(message())
            assert (await read_answer(stream))[0] == 200
    assert len(service.handles) == 1


# --- limits -------------------------------------------------------------------------------------


async def test_one_connection_too_many_is_told_so(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However late it sends, it is not reset.
    monkeypatch.setattr("supervisor.http.connection.REFUSAL_TIME", 600)
    async with serve(limits=Limits(max_connections=2)) as running:
        first, second = await running.connect(), await running.connect()
        await second.send_all(message())
        assert (await read_answer(second))[0] == 200
        async with await running.connect() as third:
            await third.send_all(message())
            status, headers, body = await read_answer(third)
            assert (status, headers["connection"]) == (503, "close")
            assert json.loads(body) == {"detail": "too many connections"}
            assert await third.receive_some() == b""
        await first.aclose()
        # Its place is free as soon as its end has been seen.
        while True:
            async with await running.connect() as fourth:
                await fourth.send_all(message())
                if (await read_answer(fourth))[0] == 200:
                    break
        await second.aclose()


async def test_those_that_are_refused_take_no_place(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.http.connection.REFUSAL_TIME", 600)
    async with serve(limits=Limits(max_connections=1)) as running, AsyncExitStack() as refused:
        first = await running.connect()
        await first.send_all(message())
        assert (await read_answer(first))[0] == 200
        # None of them reads on, or leaves.
        for _ in range(3):
            stream = await refused.enter_async_context(await running.connect())
            assert (await read_answer(stream))[0] == 503
        await first.aclose()
        while True:
            stream = await refused.enter_async_context(await running.connect())
            await stream.send_all(message())
            if (await read_answer(stream))[0] == 200:
                break
            await trio.sleep(0.05)


async def test_a_silent_connection_is_closed(serve: Serve) -> None:
    async with (
        serve(times=Times(header_timeout=0.05)) as running,
        await running.connect() as stream,
    ):
        assert await read_to_end(stream) == b""


async def test_a_connection_that_stops_inside_its_header_is_told_so(serve: Serve) -> None:
    for seconds in (0.05, 0.5, 5.0):
        times = Times(header_timeout=seconds)
        async with serve(times=times) as running, await running.connect() as stream:
            try:
                await stream.send_all(b"GET / HT")
                status, _, _ = await read_answer(stream)
            except (EOFError, trio.BrokenResourceError):
                continue  # on a busy machine its first byte came too late
            assert status == 408
            assert await stream.receive_some() == b""
            return
    pytest.fail("no answer")


@pytest.mark.parametrize("comes", ["with the request", "while it is answered"])
async def test_a_header_that_stops_behind_a_request_is_told_so_too(
    service: FakeService, serve: Serve, mock_clock: MockClock, comes: str
) -> None:
    service.hold = True
    times = Times(header_timeout=0.1, idle_timeout=10)
    async with serve(times=times) as running, await running.connect() as stream:
        if comes == "with the request":
            await stream.send_all(message() + b"GET /hal")
            await service.submitted.wait()
        else:
            await stream.send_all(message())
            await service.submitted.wait()
            await stream.send_all(b"GET /hal")
            await wait_all_tasks_blocked()
        mock_clock.jump(1)  # an answer may take its time
        service.handles[0].succeed()
        assert (await read_answer(stream))[0] == 200
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_time, mock_clock, 0.1)
            assert (await read_answer(stream))[0] == 408
            nursery.cancel_scope.cancel()
        assert await stream.receive_some() == b""


async def _pass_time(clock: MockClock, step: float) -> None:
    while True:
        await wait_all_tasks_blocked()
        clock.jump(step)


async def test_an_idle_connection_is_closed(serve: Serve) -> None:
    async with serve(times=Times(idle_timeout=0.05)) as running, await running.connect() as stream:
        await stream.send_all(message())
        assert (await read_answer(stream))[0] == 200
        assert await stream.receive_some() == b""


async def test_a_body_that_stops_is_408_and_runs_nothing(
    service: FakeService, serve: Serve
) -> None:
    async with serve(times=Times(body_timeout=0.05)) as running, await running.connect() as stream:
        await stream.send_all(message(b"{}")[:-1])
        assert (await read_answer(stream))[0] == 408
        assert await stream.receive_some() == b""
    assert service.handles == []


async def test_a_client_that_does_not_read_is_dropped_and_nobody_else_waits(
    service: FakeService, serve: Serve
) -> None:
    service.output = "y" * 30_000_000
    async with serve(times=Times(write_timeout=0.1)) as running, await running.connect() as stream:
        await stream.send_all(message())
        await service.submitted.wait()
        service.output = "small"
        async with httpx.AsyncClient(base_url=running.url) as client:
            assert (await client.post("/predictions", json={})).status_code == 200
        await running.draining.wait_answered()
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await read_answer(stream)


# --- the end ------------------------------------------------------------------------------------


async def test_a_drain_refuses_what_is_new_and_lets_the_open_end(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running, await running.connect() as waiting:
        idle = await running.connect()
        await idle.send_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
        await read_answer(idle)
        await running.draining.wait_answered()
        await waiting.send_all(message(b'{"id":"p"}'))
        await service.submitted.wait()
        running.draining.begin()
        assert running.draining.open_requests == 1

        await idle.send_all(message())
        status, headers, body = await read_answer(idle)
        assert (status, headers["connection"]) == (503, "close")
        assert json.loads(body)["status"] == "failed"
        assert await idle.receive_some() == b""
        await idle.aclose()

        async with await running.connect() as fresh:
            await fresh.send_all(b"GET /health-check HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await read_answer(fresh))[0] == 200
        async with await running.connect() as cancelling:
            await cancelling.send_all(message(path="/predictions/p/cancel"))
            status, headers, _ = await read_answer(cancelling)
            assert (status, headers["connection"]) == (200, "close")

        status, headers, body = await read_answer(waiting)
        assert (status, headers["connection"]) == (200, "close")
        assert json.loads(body)["status"] == "canceled"
        await running.draining.wait_answered()
        assert running.draining.open_requests == 0


async def test_being_cancelled_closes_the_port_and_ends_every_request(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running:
        waiting, idle = await running.connect(), await running.connect()
        await waiting.send_all(message())
        await service.submitted.wait()
        running.scope.cancel()
        with trio.CancelScope(shield=True), trio.fail_after(10):
            await service.handles[0].wait()
            assert await read_to_end(waiting) == b""
            assert await read_to_end(idle) == b""
            with pytest.raises(OSError, match="connect"):
                await running.connect()
            await waiting.aclose()
            await idle.aclose()


async def test_an_address_in_use_is_said_in_one_line(service: FakeService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            await serve_http(service, Config("model.py", port=port))
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: the address is in use; choose another one with --port"
    )


@pytest.mark.parametrize(
    ("host", "port"), [("203.0.113.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70000)]
)
async def test_an_address_that_is_not_ours_is_said_in_one_line(
    service: FakeService, host: str, port: int
) -> None:
    with pytest.raises(ListenError, match=f"cannot listen on {host}:{port}: .+") as caught:
        await serve_http(service, Config("model.py", host=host, port=port))
    assert "\n" not in str(caught.value)


async def test_port_0_is_any_free_port_on_one_address(serve: Serve) -> None:
    async with serve(host="localhost") as running:
        assert running.port > 0
        async with await trio.open_tcp_stream("localhost", running.port) as stream:
            await stream.send_all(message())
            assert (await read_answer(stream))[0] == 200


# --- big answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1024 * 1024 - 100, 3 * 1024 * 1024 + 5])
async def test_a_big_answer_has_a_length_and_arrives_whole(
    service: FakeService, serve: Serve, length: int
) -> None:
    service.output = "".join(chr(97 + index % 26) for index in range(length))
    async with serve() as running, await running.connect() as stream:
        for _ in range(2):
            await stream.send_all(message())
            status, _, body = await read_answer(stream)
            assert status == 200
            assert json.loads(body)["output"] == service.output


# --- clients that say all they want to say, and wait ----------------------------------------------


async def test_a_client_that_ends_its_half_is_answered_what_costs_nothing(
    service: FakeService, serve: Serve
) -> None:
    get = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(get + get)
        await stream.send_eof()
        assert (await read_to_end(stream)).count(b"HTTP/1.1 503 ") == 2


async def test_a_client_that_ends_its_half_gets_the_whole_of_an_answer_that_has_begun(
    service: FakeService, serve: Serve
) -> None:
    service.output = "y" * 20_000_000
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(message())
        begin = await stream.receive_some()
        await stream.send_eof()
        assert len(begin + await read_to_end(stream)) > 20_000_000


async def test_a_client_that_ends_its_half_cancels_the_prediction_that_it_waits_for(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(message())
        await service.submitted.wait()
        await stream.send_eof()
        await service.handles[0].wait()
        assert service.handles[0].is_canceled
        assert await read_to_end(stream) == b""


async def test_a_body_that_ends_with_the_clients_half_is_incomplete(serve: Serve) -> None:
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nabc")
        await stream.send_eof()
        assert (await read_to_end(stream)).count(b"HTTP/1.1") == 1


# --- clients that do not wait -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/predictions", ["prefer: respond-async"]),
        ("/predictions", ["prefer: wait=30"]),
        ("/v1/predictions", []),
    ],
)
async def test_who_hangs_up_at_once_has_asked_all_the_same(
    service: FakeService, serve: Serve, path: str, headers: list[str]
) -> None:
    service.hold = True
    async with serve() as running:
        async with await running.connect() as stream:
            await stream.send_all(message(b'{"id":"p1","input":{}}', *headers, path=path))
        await service.submitted.wait()
        (handle,) = service.handles
        await stream_closed(running)
        assert not handle.is_canceled
        async with await running.connect() as stream:
            await stream.send_all(message(path=f"/predictions/{handle.view().id}/cancel"))
        await handle.wait()
        assert handle.is_canceled


async def stream_closed(running: Running) -> None:
    """The server has seen to what there is to see of connections."""
    async with await running.connect() as stream:
        await stream.send_all(b"GET /health-check HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await read_answer(stream))[0] == 200
