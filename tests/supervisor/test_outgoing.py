"""Where calls of ours may lead, whatever a URL is spelled like."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from supervisor.outgoing import Guard, UrlRefused, open_client
from tests.closed_port import closed_port
from tests.supervisor.receiver import OK, Receiver, always, receiving

if TYPE_CHECKING:
    from collections.abc import Callable

ALWAYS = Guard(deny_private=False)
DENY = Guard(deny_private=True)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


class Resolver:
    """What the name server says: each answer once, the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = [*answers]
        self._real = socket.getaddrinfo
        self.asked: list[str] = []

    def __call__(self, host: Any, port: Any, *args: Any, **named: Any) -> list[Any]:
        if not str(host).endswith(".example"):
            return self._real(host, port, *args, **named)
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [each for a in addresses for each in self._real(a, port, *args, **named)]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Resolver]:
    """Have names below `.example` resolve to something."""

    def install(*answers: list[str]) -> Resolver:
        resolver = Resolver(*answers)
        monkeypatch.setattr("socket.getaddrinfo", resolver)
        return resolver

    return install


async def get(url: str, guard: Guard | None = ALWAYS) -> int:
    async with open_client(guard=guard) as client:
        response = await client.get(url)
        return response.status_code


async def refusal(url: str, guard: Guard | None = ALWAYS) -> str:
    with pytest.raises(UrlRefused) as caught:
        await get(url, guard)
    return str(caught.value)


# --- addresses --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.43518",
        "0xa9fea9fe",
        "2852039166",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "user:pass@169.254.169.254",
    ],
)
async def test_link_local_addresses_are_always_refused(host: str) -> None:
    text = await refusal(f"http://{host}/latest/?key=secret")
    assert text == "leads to a link-local address; those are always refused"


async def test_loopback_is_refused_only_on_demand() -> None:
    async with receiving(always(OK)) as receiver:
        assert await get(receiver.url) == 200
        assert "(refused by --deny-private-urls)" in await refusal(receiver.url, DENY)
        assert await get(receiver.url, None) == 200
        assert len(receiver.requests) == 2


async def test_one_refused_address_of_a_name_is_enough(resolve: Callable[..., Resolver]) -> None:
    async with receiving(always(OK)) as receiver:
        resolve(["127.0.0.1", "169.254.169.254"])
        assert "link-local" in await refusal(f"http://two.example:{receiver.port}/")
        assert receiver.begun == 0


async def test_what_was_judged_is_what_is_connected_to(resolve: Callable[..., Resolver]) -> None:
    async with receiving(always(OK)) as receiver:
        resolver = resolve(["127.0.0.1"], ["169.254.169.254"])
        url = f"http://rebinding.example:{receiver.port}/"
        assert await get(url) == 200
        assert resolver.asked == ["rebinding.example"]
        assert receiver.requests[0].headers["host"] == f"rebinding.example:{receiver.port}"
        assert "link-local" in await refusal(url)


async def test_the_next_address_is_tried_if_one_does_not_answer(
    resolve: Callable[..., Resolver],
) -> None:
    async with receiving(always(OK)) as receiver:
        resolve(["127.0.0.2", "127.0.0.1"])
        receiver_of_one = f"http://two.example:{receiver.port}/"
        assert await get(receiver_of_one) == 200


@pytest.mark.parametrize("url", ["ftp://h/", "file:///etc/passwd", "http://a%2fb/"])
async def test_what_cannot_be_followed_is_refused_or_no_url(url: str) -> None:
    with pytest.raises((UrlRefused, httpx.UnsupportedProtocol, httpx.InvalidURL)):
        await get(url)


# --- errors and threads -----------------------------------------------------------------------


async def test_errors_are_those_of_httpx() -> None:
    with closed_port() as port, pytest.raises(httpx.ConnectError):
        await get(f"http://127.0.0.1:{port}/")
    with pytest.raises(httpx.ConnectError, match="cannot be resolved"):
        await get("http://name.invalid/")
    async with receiving(always(None)) as receiver:
        with pytest.raises(httpx.ReadError):
            await get(receiver.url)
    async with receiving(always(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx")) as receiver:
        with pytest.raises(httpx.ReadTimeout):
            async with open_client(guard=ALWAYS) as client:
                await client.get(receiver.url, timeout=httpx.Timeout(None, read=0.05))


async def test_slow_name_servers_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    real, over = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *args: Any, **named: Any) -> Any:
        if str(host).endswith(".example"):
            over.wait(30)
            raise socket.gaierror(-2, "Name or service not known")
        return real(host, *args, **named)

    monkeypatch.setattr("socket.getaddrinfo", slow)
    try:
        async with open_client(guard=ALWAYS) as client, trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(client.get, f"http://h{number}.example/")
            await trio.testing.wait_all_tasks_blocked()
            assert await trio.to_thread.run_sync(lambda: 5) == 5
            nursery.cancel_scope.cancel()
    finally:
        over.set()


# --- proxies ----------------------------------------------------------------------------------


async def proxied(monkeypatch: pytest.MonkeyPatch, url: str, guard: Guard) -> Receiver:
    async with receiving(always(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert await get(url, guard) == 200
        return proxy


async def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = await proxied(monkeypatch, "http://somewhere.example/x", DENY)
    assert proxy.requests[0].target == "http://somewhere.example/x"


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[::ffff:a9fe:a9fe]"])
async def test_addresses_are_judged_before_a_proxy_gets_them(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    async with receiving(always(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert "link-local" in await refusal(f"http://{host}/")
        assert proxy.begun == 0


async def test_no_proxy_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(always(OK)) as receiver:
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert await get(receiver.url) == 200


async def test_a_proxy_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://user:hunter2@h/")
    text = await refusal("http://somewhere.example/")
    assert "proxy" in text
    assert "hunter2" not in text
