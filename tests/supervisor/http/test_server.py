"""The whole facade behind a real socket: routes, errors, limits, the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from supervisor.config import Limits

if TYPE_CHECKING:
    from supervisor.interface import HealthReport
    from tests.supervisor.http.fake_service import FakeService, Serve


from tests.supervisor.http.wire import message, read_answer, read_to_end

# --- routes and errors --------------------------------------------------------------------------


async def test_the_routes_of_a_prediction(service: FakeService, serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/predictions", json={"id": "p1", "input": {"x": "ä"}})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert "server" not in answer.headers
        assert answer.json()["output"] == "hello"
        assert service.handles[0].request.input == {"x": "ä"}

        answer = await client.post("/predictions")
        assert answer.status_code == 200

        service.hold = True
        prefer = {"prefer": "handling=lenient, respond-async"}
        answer = await client.put("/predictions/p:2", json={"id": "p:2"}, headers=prefer)
        assert (answer.status_code, answer.json()) == (202, {"id": "p:2", "status": "starting"})
        answer = await client.put("/predictions/p%3A2", json={})
        assert (answer.status_code, answer.json()["status"]) == (202, "starting")
        answer = await client.post("/predictions/p:2/cancel")
        assert (answer.status_code, answer.json()) == (200, {})
        answer = await client.post("/predictions/p:2/cancel", content=b"garbage")
        assert (answer.status_code, answer.json()) == (404, {})


async def test_the_routes_of_a_training(service: FakeService, serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/trainings", json={"id": "t1", "input": {"x": 1}})
        assert (answer.status_code, answer.json()["id"]) == (200, "t1")
        assert service.handles[0].request.is_training
        assert (await client.get("/trainings/t1")).json()["status"] == "succeeded"
        service.hold = True
        answer = await client.put("/trainings/t2", json={}, headers={"prefer": "respond-async"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
        (newest,) = (await client.get("/trainings?limit=1")).json()["results"]
        assert newest["id"] == "t2"
        answer = await client.post("/trainings/t2/cancel")
        assert (answer.status_code, answer.json()) == (200, {})


async def test_pages_lead_to_each_other(service: FakeService, serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        for number in range(5):
            await client.post("/predictions", json={"id": f"p{number}"})
        names, place = [], "/predictions?limit=2"
        while place is not None:
            page = (await client.get(place)).json()
            names += [entry["id"] for entry in page["results"]]
            place = page["next"]
    assert names == ["p4", "p3", "p2", "p1", "p0"]


async def test_the_head_of_what_can_be_got(service: FakeService, serve: Serve) -> None:
    service.hold = True
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        await client.post("/predictions", json={"id": "p1"}, headers={"prefer": "respond-async"})
        for path in ("/", "/predictions", "/predictions/p1", "/predictions/p1/stream"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "text/event-stream"
        assert (await client.head("/predictions/p2")).status_code == 404


async def test_what_was_accepted_can_be_asked_for_in_a_drain(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        await client.post("/predictions", json={"id": "p1"}, headers={"prefer": "respond-async"})
        running.draining.begin()
        assert (await client.get("/predictions/p1")).status_code == 200
        assert (await client.get("/predictions")).status_code == 503


async def test_the_routes_about_the_server(service: FakeService, serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.get("/")).json()["predictions_url"] == "/predictions"
        assert (await client.get("/health-check")).json()["status"] == "READY"
        head = await client.head("/health-check")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0
        assert (await client.get("/openapi.json")).status_code == 503
        assert (await client.post("/shutdown")).json() == {}
        assert service.shutdown_requests == 1


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nope", 404, None),
        ("GET", "/predictions/", 404, None),
        ("PUT", "/predictions/a/b", 404, None),
        ("GET", "/predictions/x", 404, None),
        ("GET", "/trainings/x", 404, None),
        ("GET", "/predictions/x/stream", 404, None),
        ("GET", "/trainings/x/stream", 404, None),
        ("DELETE", "/predictions", 405, "GET, HEAD, POST"),
        ("OPTIONS", "/trainings", 405, "GET, HEAD, POST"),
        ("POST", "/predictions/x", 405, "GET, HEAD, PUT"),
        ("GET", "/predictions/x/cancel", 405, "POST"),
        ("POST", "/health-check", 405, "GET, HEAD"),
        ("GET", "/shutdown", 405, "POST"),
    ],
)
async def test_what_does_not_exist_is_said_in_json(
    serve: Serve, method: str, path: str, status: int, allow: str | None
) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert answer.headers.get("allow") == allow
        assert set(answer.json()) == {"detail"}


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"garbage", "application/json", 400),
        (b"", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"--y--", "multipart/form-data; boundary=x", 400),
        (b"--x--", "multipart/form-data", 400),
        (b"[]", "application/json", 422),
        (b'{"input":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "application/json", 400),
        (b'{"input":{"x":"\\ud800"}}', "application/json", 400),
        (b'{"input":{"x":"\xff"}}', "application/json", 400),
        (b'{"input":{},"input":{}}', "application/json", 422),
    ],
)
async def test_a_bad_request_is_said_in_json_and_the_connection_lives_on(
    serve: Serve, body: bytes, content_type: str, status: int
) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        headers = {"content-type": content_type}
        answer = await client.post("/predictions", content=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        assert "detail" in answer.json()
        assert (await client.get("/health-check")).status_code == 200


async def test_a_mistake_of_ours_is_500_in_json_and_in_our_log(
    service: FakeService,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def fail() -> HealthReport:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(service, "check_health", fail)
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.get("/health-check")
        assert (answer.status_code, answer.json()) == (500, {"detail": "Internal Server Error"})
        assert (await client.get("/")).status_code == 200
    out, err = capfd.readouterr()
    assert "a secret of ours" in out + err
    assert "in app:" not in err  # the form of Quart's own logger


async def test_nothing_is_written_of_requests_that_are_served(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        await client.post("/predictions", json={})
        await client.get("/nope")
        async with await running.connect() as stream:
            await stream.send_all(b"garbage\r\n\r\n")
            await read_to_end(stream)
    assert capfd.readouterr() == ("", "")


# --- bodies -------------------------------------------------------------------------------------


async def test_a_body_bigger_than_quarts_limit_arrives_whole(
    service: FakeService, serve: Serve
) -> None:
    text = "x" * (20 * 1024 * 1024)
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/predictions", json={"input": {"t": text}}, timeout=30)
        assert answer.status_code == 200
        assert service.handles[0].request.input == {"t": text}


async def test_a_big_answer_arrives_whole(service: FakeService, serve: Serve) -> None:
    service.output = "y" * (20 * 1024 * 1024)
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/predictions", json={}, timeout=30)
        assert answer.json()["output"] == service.output


async def test_a_body_too_large_by_its_length_is_413_before_it_is_sent(serve: Serve) -> None:
    async with serve(limits=Limits(max_body=1000)) as running, await running.connect() as stream:
        await stream.send_all(message()[:-2].replace(b"content-length: 2", b"content-length: 1001"))
        status, headers, body = await read_answer(stream)
        assert (status, headers["connection"]) == (413, "close")
        assert json.loads(body) == {"detail": "the request's body is larger than 1000 bytes"}
        assert await stream.receive_some() == b""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a client takes to send what nobody wants, it is not reset."""
    monkeypatch.setattr("supervisor.http.client_stream.LINGER", 600)


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_client_that_goes_on_sending_still_reads_its_413(
    service: FakeService, serve: Serve, patient: None, chunked: bool
) -> None:
    data = b"z" * 5_000_000
    head = message(data)[: -len(data)]
    if chunked:
        head = head.replace(b"content-length: 5000000", b"transfer-encoding: chunked")
        data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
    async with serve(limits=Limits(max_body=1000)) as running:
        async with await running.connect() as stream:
            await stream.send_all(head + data)
            status, _, _ = await read_answer(stream)
            assert status == 413
        async with await running.connect() as stream:
            await stream.send_all(message())
            assert (await read_answer(stream))[0] == 200
    assert len(service.handles) == 1


# --- HTTP that is not quite ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400),
        (message().replace(b"content-length: 2", b"content-length: zz"), 400),
        (message(b"{}\r\n").replace(b"content-length: 4", b"transfer-encoding: chunked"), 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 200_000 + b"\r\n\r\n", 431),
    ],
)
async def test_broken_http_is_answered_in_json_and_closed(
    serve: Serve, patient: None, data: bytes, status: int
) -> None:
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(data)
        answered, headers, body = await read_answer(stream)
        assert (answered, headers["connection"]) == (status, "close")
        assert set(json.loads(body)) == {"detail"}
        assert await stream.receive_some() == b""


async def test_a_long_header_below_the_limit_is_taken(serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.get("/health-check", headers={"x": "a" * 40_000})
        assert answer.status_code == 200


async def test_http_1_0_is_answered_and_closed(serve: Serve) -> None:
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(b"GET /openapi.json HTTP/1.0\r\n\r\n")
        assert (await read_answer(stream))[0] == 503
        assert await stream.receive_some() == b""


async def test_expect_100_continue(serve: Serve) -> None:
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(message(b"{}", "expect: 100-continue")[:-2])
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
        await stream.send_all(b"{}")
        assert (await read_answer(stream))[0] == 200


async def test_http_2_is_refused_in_http_1(serve: Serve) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(preface)
        status, headers, body = await read_answer(stream)
        assert (status, headers["connection"]) == (400, "close")
        assert json.loads(body) == {"detail": "Bad Request"}
        assert await stream.receive_some() == b""


@pytest.mark.parametrize(
    "upgrade",
    [
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n",
    ],
)
async def test_a_request_to_change_the_protocol_is_ignored(serve: Serve, upgrade: bytes) -> None:
    async with serve() as running, await running.connect() as stream:
        for _ in range(2):
            await stream.send_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n")
            status, headers, _ = await read_answer(stream)
            assert (status, "upgrade" in headers) == (503, False)


async def test_a_connection_serves_more_than_a_thousand_requests(serve: Serve) -> None:
    async with serve() as running, await running.connect() as stream:
        for _ in range(1100):
            await stream.send_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await read_answer(stream))[0] == 503


async def test_pipelined_requests_are_answered_in_order(service: FakeService, serve: Serve) -> None:
    async with serve() as running, await running.connect() as stream:
        bodies = [json.dumps({"id": f"p{n}"}).encode() for n in range(5)]
        last = message(b'{"id":"last"}', "connection: close")
        await stream.send_all(b"".join(map(message, bodies)) + last)
        everything = await read_to_end(stream)
        places = [everything.index(b'"id":"%b"' % name) for name in (b"p0", b"p1", b"p4", b"last")]
        assert places == sorted(places)
        assert len(service.handles) == 6


async def test_chunked_bodies_of_many_pieces_arrive_whole(
    service: FakeService, serve: Serve
) -> None:
    head = message(b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    body = b'{"input":{"x":"chunked"}}'
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(head)
        for place in range(0, len(body), 5):
            piece = body[place : place + 5]
            await stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
        await stream.send_all(b"0\r\ntrailer: yes\r\n\r\n")
        assert (await read_answer(stream))[0] == 200
    assert service.handles[0].request.input == {"x": "chunked"}


# --- the header ---------------------------------------------------------------------------------


def _request_of(size: int) -> bytes:
    """A request whose line and header have so many bytes."""
    head = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nx: "
    return head + b"a" * (size - len(head) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize(("size", "status"), [(4096, 503), (4097, 431), (8000, 431)])
async def test_the_limit_of_a_header_is_exact(serve: Serve, size: int, status: int) -> None:
    async with serve(limits=Limits(max_header=4096)) as running:
        async with await running.connect() as stream:
            await stream.send_all(_request_of(size))
            assert (await read_answer(stream))[0] == status
        async with await running.connect() as stream:  # not the first on its connection
            await stream.send_all(_request_of(100))
            assert (await read_answer(stream))[0] == 503
            await stream.send_all(_request_of(size))
            assert (await read_answer(stream))[0] == status
        async with await running.connect() as stream:  # nor the first of those sent together
            await stream.send_all(_request_of(100) + _request_of(size))
            await stream.send_eof()
            answers = await read_to_end(stream)
            assert re.findall(rb"HTTP/1\.1 (\d+) ", answers) == [b"503", b"%d" % status]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://other.example:81/health-check HTTP/1.1", 200),
        (b"GET HTTPS://other.example/health-check?x=1 HTTP/1.1", 200),
        (b"GET http://other.example HTTP/1.1", 200),
        (b"GET /health%2dcheck HTTP/1.1", 200),
        (b"GET /health-check?a=b&c=%ff HTTP/1.1", 200),
        (b"GET //health-check HTTP/1.1", 404),
        (b"GET /%ff%00%0d%0a HTTP/1.1", 404),
        (b"GET /predictions/a%2Fb/cancel HTTP/1.1", 404),
        (b"GET health-check HTTP/1.1", 400),
        (b"GET ftp://x/health-check HTTP/1.1", 400),
        (b"GET http:///health-check HTTP/1.1", 400),
        (b"GET ?a HTTP/1.1", 400),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"CONNECT x:443 HTTP/1.1", 400),
        (b"BREW / HTTP/1.1", 405),
        (b"GET / HTTP/3.0", 400),
        (b"GET /" + b"%61" * 5000 + b" HTTP/1.1", 404),
    ],
)
async def test_every_form_of_a_target_is_understood_or_refused(
    serve: Serve, line: bytes, status: int
) -> None:
    async with serve() as running, await running.connect() as stream:
        await stream.send_all(line + b"\r\nhost: x\r\n\r\n")
        assert (await read_answer(stream))[0] == status


@pytest.mark.parametrize("path", ["/", "/health-check", "/openapi.json"])
async def test_head_is_get_without_the_body(serve: Serve, path: str) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        get, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == str(len(get.content))


# --- ids and traces -----------------------------------------------------------------------------

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [("mine-1.2_3~4:5", True), ("a b", False), ("x" * 129, False), ("", False), ("ä", False)],
)
async def test_every_answer_has_the_id_of_its_request(
    service: FakeService, serve: Serve, sent: str, is_kept: bool
) -> None:
    headers = {"x-request-id": sent.encode("latin-1")}
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        for method, path, status in [
            ("POST", "/predictions", 200),
            ("GET", "/nope", 404),
            ("DELETE", "/", 405),
        ]:
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == status
            if is_kept:
                assert answer.headers["x-request-id"] == sent
            else:
                assert len(answer.headers["x-request-id"]) == 32
        async with await running.connect() as stream:
            await stream.send_all(b"garbage\r\n\r\n")
            _, plain, _ = await read_answer(stream)
            assert len(plain["x-request-id"]) == 32
    given = service.handles[0].request.request_id
    assert given is not None
    assert (given == sent) == is_kept


@pytest.mark.parametrize(
    ("headers", "passed_on"),
    [
        ([("traceparent", PARENT)], (PARENT, "")),
        ([("traceparent", PARENT), ("tracestate", "a=1,b@c=2")], (PARENT, "a=1,b@c=2")),
        (
            [("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")],
            (PARENT, "a=1,b=2"),
        ),
        ([("traceparent", PARENT), ("tracestate", "no state")], (PARENT, "")),
        ([("traceparent", PARENT), ("traceparent", PARENT)], None),
        ([("traceparent", PARENT.upper()), ("tracestate", "a=1")], None),
        ([("traceparent", "x\u00e4")], None),
        ([("tracestate", "a=1")], None),
    ],
)
async def test_only_a_sound_trace_is_passed_on(
    service: FakeService,
    serve: Serve,
    headers: list[tuple[str, str]],
    passed_on: tuple[str, str] | None,
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.post("/predictions", headers=raw)).status_code == 200
    trace = service.handles[0].request.trace
    assert (trace and (trace.traceparent, trace.tracestate)) == passed_on
