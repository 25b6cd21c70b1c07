"""Where URLs of clients may lead, whatever they are spelled like."""

from __future__ import annotations

import socket
from pathlib import Path  # noqa: TC003 - the signatures below are read at run time
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.slow_server import RawServer, serving
from worker.inputs import InputFailure, prepared_inputs
from worker.options import Options
from worker.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]

pytestmark = pytest.mark.usefixtures("no_proxy")

DENY = Options(deny_private_urls=True)
ALWAYS = "address; those are always refused"
DENIED = "address; give a URL of a public server (--deny-private-urls)"


def run(file: Path) -> None: ...


SIGNATURE = signature_of(run)


def answer(server: RawServer, connection: socket.socket) -> None:
    """Content, or a redirect to what the query says."""
    target = server.read_request(connection)
    _, _, location = target.partition("?to=")
    if location:
        head = f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        connection.sendall(head.encode())
        answer(server, connection)
    else:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere")


@pytest.fixture
def server() -> Iterator[RawServer]:
    with serving(answer) as server:
        yield server


class Resolver:
    """What the name server says: each answer once, the last one again and again."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = [*answers]
        self._real = socket.getaddrinfo
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *args: Any, **named: Any) -> list[Any]:
        if not host.endswith(".example"):
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


def fetch(url: str, options: Options | None = None) -> str:
    with prepared_inputs(SIGNATURE, {"file": url}, options or Options()) as arguments:
        text: str = arguments["file"].read_text()
        return text


def refusal(url: str, options: Options | None = None) -> str:
    with pytest.raises(InputFailure) as caught:
        fetch(url, options)
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
def test_link_local_addresses_are_always_refused(host: str) -> None:
    text = refusal(f"HTTP://{host}/latest/meta-data/?key=secret")
    assert text.endswith(f"/latest/meta-data/: leads to a link-local {ALWAYS}")
    assert "secret" not in text
    assert "pass" not in text


@pytest.mark.parametrize("host", ["[fd00:ec2::254]", "100.100.100.200"])
def test_cloud_metadata_at_other_addresses_is_refused_too(host: str) -> None:
    assert refusal(f"http://{host}/").endswith(f"leads to a cloud metadata {ALWAYS}")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "0x7F.1",
        "2130706433",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "user:pass@127.0.0.1",
        "169.254.169.254@127.0.0.1",
        "example.com@127.0.0.1",
    ],
)
def test_private_addresses_are_refused_if_the_operator_says_so(
    host: str, server: RawServer
) -> None:
    text = refusal(f"HtTp://{host}:{server.port}/x", DENY)
    assert text.endswith(DENIED)
    assert server.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "localhost", "0x7f000001"])
def test_they_are_allowed_otherwise(host: str, server: RawServer) -> None:
    assert fetch(f"HtTp://{host}:{server.port}/x") == "here"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1%2f",
        "%31%32%37.0.0.1",
        "127.0.0.1%00.example",
        "[fe80::1%25lo]",
        "１２７.0.0.1",  # noqa: RUF001
        "ⓛocalhost",
        "a..b",
        "0177.0.0.1",
        "256.256.256.256",
        "[127.0.0.1]",
    ],
)
def test_hosts_that_are_nothing(host: str, server: RawServer) -> None:
    assert refusal(f"http://{host}:{server.port}/x", DENY).startswith("file: ")
    assert server.requests == []


# --- names ------------------------------------------------------------------------------------


def test_the_connection_goes_to_the_address_that_was_checked(
    server: RawServer, resolve: Callable[..., Resolver]
) -> None:
    """The name server says something else the second time; it is not asked a second time."""
    resolver = resolve(["127.0.0.1"], ["169.254.169.254"])
    assert fetch(f"http://rebinding.example:{server.port}/x") == "here"
    assert resolver.asked == ["rebinding.example"]


def test_each_connection_is_checked(server: RawServer, resolve: Callable[..., Resolver]) -> None:
    """The same name again after a redirect elsewhere, and now it means something else."""
    resolver = resolve(["127.0.0.1"], ["127.0.0.1"], ["169.254.169.254"])
    here = f"example:{server.port}"
    back = f"http://second.{here}/?to=http://third.{here}/"
    text = refusal(f"http://first.{here}/?to={back}")
    assert text == f"file: http://first.{here}/: leads to a link-local {ALWAYS}"
    assert resolver.asked == ["first.example", "second.example", "third.example"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1", "169.254.169.254"], ["fe80::1", "127.0.0.1"]], ids=str
)
def test_every_address_of_a_name_is_checked(
    addresses: list[str], server: RawServer, resolve: Callable[..., Resolver]
) -> None:
    resolve(addresses)
    assert "link-local" in refusal(f"http://mixed.example:{server.port}/x")
    assert server.requests == []


def test_the_next_address_is_tried(server: RawServer, resolve: Callable[..., Resolver]) -> None:
    resolve(["::1", "127.0.0.1"])  # nobody listens at the first one
    assert fetch(f"http://two.example:{server.port}/x") == "here"


def test_an_international_name(server: RawServer, resolve: Callable[..., Resolver]) -> None:
    resolver = resolve(["127.0.0.1"])
    assert "a loopback" in refusal(f"http://bücher.example:{server.port}/x", DENY)
    assert resolver.asked == ["xn--bcher-kva.example"]


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "//169.254.169.254/x"])
def test_a_redirect_is_checked(target: str, server: RawServer) -> None:
    text = refusal(f"{server.url}/?to={target}")
    assert text == f"file: {server.url}/: leads to a link-local {ALWAYS}"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("file:///etc/passwd", "redirects to what is neither an http: nor an https: URL"),
        ("gopher://127.0.0.1/", "redirects to what is neither an http: nor an https: URL"),
        ("http://127.0.0.1:secret/", "redirects to what is not a URL"),
    ],
)
def test_a_redirect_to_something_else(target: str, reason: str, server: RawServer) -> None:
    assert refusal(f"{server.url}/?to={target}") == f"file: {server.url}/: {reason}"


# --- the model's own URLs ---------------------------------------------------------------------


def test_the_authors_own_urls_may_lead_anywhere(server: RawServer, load_model: Load) -> None:
    """And a client gains nothing by it, not even a connection that is open already."""
    predictor = load_model(
        f"""
        from cog import Input, Path
        def run(own: Path = Input(default="{server.url}/weights"), theirs: Path = None): ...
        """,
        "run",
    )
    with prepared_inputs(predictor.signature, {}, DENY) as arguments:
        assert arguments["own"].read_text() == "here"
    for name in ("own", "theirs"):
        with pytest.raises(InputFailure, match=f"^{name}: .* loopback"):
            prepared_inputs(predictor.signature, {name: f"{server.url}/x"}, DENY).__enter__()
    assert {each.split(" ")[1] for each in server.requests} <= {"/weights"}


# --- what is told -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@127.0.0.1:{port}/{path}?X-Amz-Signature=secret",
        "http://user:secret@127.0.0.1:{port}/{path}?to=http://169.254.1.1/?secret",
        "http://user:secret@127.0.0.1:{port}/{path}?to=http://user:secret@[::/",
        "http://user:secret@127.0.0.1:{port}/{path}?to=ftp://secret/secret",
        "http://user:secret@:99999/{path}?secret",
        "http://user:secret@[::/{path}?secret",
        "http://user:sec/ret@127.0.0.1/{path}?secret",
        "http://user:secret@{path}.invalid:bad/?secret",
        "http://user:secret@169.254.1.1/{path}#secret",
        "http://user:secret@℀.example/{path}?secret",
        "http://user:secret@127.0.0.1:1/{path}?secret",
    ],
)
def test_errors_tell_no_secrets(url: str, server: RawServer) -> None:
    options = Options(download_max=1)
    text = refusal(url.format(port=server.port, path="path"), options)
    assert text.startswith("file: ")
    assert not any(each in text for each in ("secret", "user", "sec/ret"))
