"""A unix socket instead of an address."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from supervisor.config import Config
from supervisor.http.listening import ListenError
from supervisor.http.server import serve_http

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.supervisor.http.fake_service import FakeService, Serve


@pytest.fixture(autouse=True)
def short_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder in which a relative path is short enough."""
    old = os.umask(0o077)
    monkeypatch.chdir(tmp_path)
    yield
    os.umask(old)


def client_of(path: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://model", transport=httpx.AsyncHTTPTransport(uds=path))


async def test_requests_over_a_socket_whose_file_is_gone_afterwards(
    service: FakeService, serve: Serve, tmp_path: Path
) -> None:
    async with serve(uds="s") as running:
        assert (running.found.url, running.found.port) == ("unix:s", None)
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o660
        async with client_of("s") as client:
            answer = await client.post("/predictions", json={"input": {"x": 1}})
            assert (answer.status_code, answer.json()["output"]) == (200, "hello")
    assert not (tmp_path / "s").exists()


async def test_a_client_that_leaves_cancels_what_it_waits_for(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve(uds="s"):
        async with await trio.open_unix_socket("s") as stream:
            await stream.send_all(b"POST /predictions HTTP/1.1\r\nhost: x\r\n\r\n")
            await service.submitted.wait()
        await service.handles[0].wait()
        assert service.handles[0].is_canceled


async def test_the_socket_of_a_dead_server_is_replaced(serve: Serve) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("s")
    async with serve(uds="s"), client_of("s") as client:
        assert (await client.get("/health-check")).status_code == 200


async def test_the_socket_of_a_living_server_is_left_alone(
    service: FakeService, serve: Serve
) -> None:
    async with serve(uds="s"):
        with pytest.raises(ListenError, match="cannot listen on s: another server does"):
            await serve_http(service, Config("model.py", uds="s"))
        async with client_of("s") as client:
            assert (await client.get("/health-check")).status_code == 200


async def test_a_server_whose_backlog_is_full_lives(service: FakeService) -> None:
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind("s")
        busy.listen(0)
        waiting.connect("s")
        with pytest.raises(ListenError, match="another server does"):
            await serve_http(service, Config("model.py", uds="s"))


async def test_a_file_that_is_no_socket_is_left_alone(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(ListenError, match="there is something that is no socket"):
        await serve_http(service, Config("model.py", uds="s"))
    assert (tmp_path / "s").read_text() == "mine"


async def test_another_servers_socket_in_its_place_is_left_alone(
    serve: Serve, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        async with serve(uds="s"):
            (tmp_path / "s").unlink()
            other.bind("s")
        assert (tmp_path / "s").is_socket()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("x" * 108, "a socket's path has at most 107 bytes"),
        ("no/folder", "No such file or directory"),
        ("", "there is something that is no socket"),
    ],
)
async def test_a_path_that_cannot_be_is_said_in_one_line(
    service: FakeService, path: str, reason: str
) -> None:
    with pytest.raises(ListenError, match=reason) as caught:
        await serve_http(service, Config("model.py", uds=path))
    assert "\n" not in str(caught.value)


async def test_a_path_of_107_bytes_is_taken(serve: Serve) -> None:
    async with serve(uds="x" * 107), client_of("x" * 107) as client:
        assert (await client.get("/health-check")).status_code == 200
