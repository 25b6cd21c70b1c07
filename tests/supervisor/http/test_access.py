"""The token and other origins, on real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from supervisor.http.access import Access

if TYPE_CHECKING:
    from tests.supervisor.http.fake_service import FakeService, Serve

# --- the token ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/predictions"),
        ("PUT", "/predictions/x"),
        ("POST", "/predictions/x/cancel"),
        ("GET", "/"),
        ("GET", "/openapi.json"),
        ("POST", "/shutdown"),
        ("GET", "/nope"),
        ("DELETE", "/predictions"),
        ("GET", "/health-check/"),
        ("OPTIONS", "/predictions"),
    ],
)
async def test_without_the_token_nothing_is_served(
    service: FakeService, serve: Serve, method: str, path: str
) -> None:
    async with (
        serve(auth_token="s3cret") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        answer = await client.request(method, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json() == {"detail": "a valid bearer token is required"}
        assert (await client.get("/health-check")).status_code == 200
    assert service.handles == []
    assert service.shutdown_requests == 0


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer s3cret", 200),
        ("bearer  s3cret", 200),
        ("Bearer s3cre", 401),
        ("Bearer s3crett", 401),
        ("Bearer S3CRET", 401),
        ("Bearer", 401),
        ("Basic s3cret", 401),
        ("s3cret", 401),
        ("Bearer s3cret, Bearer x", 401),
        ("Bearer ä", 401),
    ],
)
async def test_the_token_has_to_be_shown_exactly(
    serve: Serve, authorization: str, status: int
) -> None:
    headers = {"authorization": authorization.encode("latin-1")}
    async with (
        serve(auth_token="s3cret") as running,
        httpx.AsyncClient(base_url=running.url, headers=headers) as client,
    ):
        assert (await client.post("/predictions")).status_code == status


async def test_a_big_body_without_the_token_is_not_read(service: FakeService, serve: Serve) -> None:
    async with (
        serve(auth_token="s3cret") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        answer = await client.post("/predictions", content=b"x" * 5_000_000)
        assert answer.status_code == 401


@pytest.mark.parametrize(
    ("token", "client", "authorization", "may"),
    [
        (None, ("127.0.0.1", 1), None, True),
        (None, ("::1", 1), None, True),
        (None, ("::ffff:127.0.0.1", 1), None, True),
        (None, None, None, True),
        (None, ("10.0.0.1", 1), None, False),
        (None, ("10.0.0.1", 1), "Bearer x", False),
        ("t", ("127.0.0.1", 1), None, False),
        ("t", None, None, False),
        ("t", ("10.0.0.1", 1), "Bearer t", True),
    ],
)
def test_who_may_list(
    token: str | None, client: tuple[str, int] | None, authorization: str | None, may: bool
) -> None:
    assert Access(token).may_list(client, authorization) is may


async def test_the_list_needs_the_token_where_one_is_set(serve: Serve) -> None:
    async with (
        serve(auth_token="t") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        assert (await client.get("/predictions")).status_code == 401
        shown = {"authorization": "Bearer t"}
        assert (await client.get("/predictions", headers=shown)).status_code == 200
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        assert (await client.get("/predictions")).status_code == 200  # from this machine


# --- other origins ------------------------------------------------------------------------------

APP = "https://app.example"
PREFLIGHT = {"access-control-request-method": "POST"}


async def test_other_origins_may_not_unless_they_are_named(serve: Serve) -> None:
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.options("/predictions", headers={"origin": APP, **PREFLIGHT})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]
        answer = await client.post("/predictions", headers={"origin": APP})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert "vary" not in answer.headers


async def test_a_page_of_an_origin_that_was_named(serve: Serve) -> None:
    origin = {"origin": APP}
    async with (
        serve(cors_origins=("https://other.example", APP), auth_token="t") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        answer = await client.options("/predictions/x", headers=origin | PREFLIGHT)
        assert (answer.status_code, answer.content) == (204, b"")
        assert not {"content-length", "content-type"} & set(answer.headers)
        assert answer.headers["access-control-allow-origin"] == APP
        assert "PUT" in answer.headers["access-control-allow-methods"].split(", ")
        allowed = answer.headers["access-control-allow-headers"].split(", ")
        wanted = {"authorization", "content-type", "prefer", "last-event-id", "traceparent"}
        assert wanted <= set(allowed)
        assert answer.headers["vary"] == "origin"
        assert "access-control-allow-credentials" not in answer.headers

        token = {"authorization": "Bearer t"}
        for headers, path, status in [
            (token, "/predictions", 200),
            ({}, "/predictions", 401),
            (token, "/nope", 404),
        ]:
            answer = await client.post(path, headers=origin | headers)
            assert answer.status_code == status
            assert answer.headers["access-control-allow-origin"] == APP
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
            assert answer.headers["vary"] == "origin"


async def test_a_page_of_another_origin(serve: Serve) -> None:
    async with (
        serve(cors_origins=(APP,)) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        other = {"origin": "https://app.example.evil"}
        answer = await client.options("/predictions", headers=other | PREFLIGHT)
        assert answer.status_code == 405
        assert "access-control-allow-origin" not in answer.headers
        answer = await client.options("/predictions", headers={"origin": APP})
        assert answer.status_code == 405  # no preflight
        answer = await client.get("/health-check")
        assert answer.headers["vary"] == "origin"


async def test_every_origin(serve: Serve) -> None:
    async with (
        serve(cors_origins=("*",)) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        for headers in ({"origin": APP}, {"origin": "null"}):
            answer = await client.options("/predictions", headers=headers | PREFLIGHT)
            assert answer.status_code == 204
            assert answer.headers["access-control-allow-origin"] == "*"
            assert "vary" not in answer.headers
            assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_of_another_site_sets_nothing_going(
    service: FakeService, serve: Serve
) -> None:
    """Browsers send forms, and requests without a body, without asking first."""
    foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
    async with (
        serve(cors_origins=(APP,)) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        for path in ("/predictions", "/shutdown"):
            answer = await client.post(path, headers=foreign)
            assert answer.status_code == 403
            assert "--cors-origin" in answer.json()["detail"]
        assert (service.handles, service.shutdown_requests) == ([], 0)
        assert (await client.get("/health-check", headers=foreign)).status_code == 200
        allowed = {**foreign, "origin": APP}
        assert (await client.post("/predictions", headers=allowed)).status_code == 200
        near = {**foreign, "sec-fetch-site": "same-site"}
        assert (await client.post("/predictions", headers=near)).status_code == 200


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://evil.example", "10.0.0.5:5000", 403),
        ("http://10.0.0.5:8080", "10.0.0.5:5000", 403),
        ("null", "10.0.0.5:5000", 403),
        ("http://[bad", "10.0.0.5:5000", 403),
        ("http://10.0.0.5:5000", "10.0.0.5:5000", 200),
        ("https://Models.example", "models.example", 200),
        (APP, "10.0.0.5:5000", 200),
        (None, "10.0.0.5:5000", 200),
    ],
)
async def test_where_browsers_do_not_name_the_site_the_origin_says_it(
    service: FakeService, serve: Serve, origin: str | None, host: str, status: int
) -> None:
    """They do so only for https and for this machine."""
    async with (
        serve(cors_origins=(APP,), host="0.0.0.0") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        headers = {"host": host} | ({} if origin is None else {"origin": origin})
        assert (await client.post("/predictions", headers=headers)).status_code == status
        assert (await client.get("/health-check", headers=headers)).status_code == 200
    assert len(service.handles) == (status == 200)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("localhost:5000", True),
        ("127.0.0.1", True),
        ("127.8.9.1:1", True),
        ("[::1]:5000", True),
        ("app.localhost:5000", True),
        ("LOCALHOST.", True),
        ("rebound.example:5000", False),
        ("127.0.0.1.evil.example", False),
        ("notlocalhost", False),
        ("[", False),
        ("app.example", True),
    ],
)
@pytest.mark.parametrize("mark", ["origin", "sec-fetch-site"])
async def test_no_name_that_was_made_to_lead_here_serves_a_page(
    serve: Serve, host: str, is_ours: bool, mark: str
) -> None:
    async with (
        serve(cors_origins=(APP,)) as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        value = f"http://{host}" if mark == "origin" else "same-origin"
        headers = {"host": host, mark: value}
        answers = [
            await client.get("/predictions", headers=headers),
            await client.post("/predictions", headers=headers),
        ]
        for answer in answers:
            assert answer.status_code == (200 if is_ours else 403)
            assert is_ours or "localhost" in answer.json()["detail"]
        plain = await client.post("/predictions", headers={"host": host})
        assert plain.status_code == 200, "sidecars and proxies"


async def test_who_has_a_token_is_no_rebound_page(serve: Serve) -> None:
    async with (
        serve(auth_token="secret") as running,
        httpx.AsyncClient(base_url=running.url) as client,
    ):
        host = "models.example"
        headers = {"host": host, "origin": f"http://{host}", "authorization": "Bearer secret"}
        assert (await client.post("/predictions", headers=headers)).status_code == 200
