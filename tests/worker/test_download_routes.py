"""Downloads through TLS and through proxies, each in an interpreter of its own.

What certificates are trusted is read from the environment once in a process.
"""

from __future__ import annotations

import socket
import ssl
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.slow_server import WAIT, RawServer, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    RunPython = Callable[[str], str]
    Answer = Callable[[RawServer, socket.socket], None]

CERTIFICATE = Path(__file__).with_name("localhost.pem")

CLIENT = """
import os, socket
from pathlib import Path
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ.update(ENVIRON)
real = socket.getaddrinfo
def resolve(host, *args, **named):
    return real("127.0.0.1" if host.endswith(".example") else host, *args, **named)
socket.getaddrinfo = resolve
from worker.inputs import InputFailure, prepared_inputs
from worker.options import Options
from worker.signature import signature_of
def run(file: Path): ...
for url in URLS:
    try:
        with prepared_inputs(signature_of(run), {"file": url}, OPTIONS) as arguments:
            print(arguments["file"].read_text())
    except InputFailure as error:
        print(error)
"""


@pytest.fixture
def fetch(run_python: RunPython) -> Callable[..., list[str]]:
    """Fetches URLs in another process; what came of each."""

    def run(*urls: str, options: str = "Options()", **environ: str) -> list[str]:
        source = f"ENVIRON = {environ!r}\nURLS = {urls!r}\n"
        return run_python(source + CLIENT.replace("OPTIONS", options)).splitlines()

    return run


def content(server: RawServer, connection: socket.socket) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecure")


def through_tls(answer: Answer) -> Answer:
    """The same, after a handshake with the certificate of localhost and files.example."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def run(server: RawServer, connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            answer(server, secure)

    return run


def proxy(port: int, server: RawServer, connection: socket.socket) -> None:
    """A proxy that knows one destination, and takes all names for that."""
    if not server.read_request(connection).startswith("http:"):
        with socket.create_connection(("127.0.0.1", port), WAIT) as far:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=copy, args=(far, connection), daemon=True)
            back.start()
            copy(connection, far)
            back.join(WAIT)
    else:
        body = b"by the proxy"
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


def copy(source: socket.socket, target: socket.socket) -> None:
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


@pytest.fixture
def secure() -> Iterator[RawServer]:
    with serving(through_tls(content)) as server:
        yield server


# --- TLS --------------------------------------------------------------------------------------


def test_the_certificate_is_checked_for_the_name_not_the_address(
    fetch: Callable[..., list[str]], secure: RawServer
) -> None:
    hosts = ("localhost", "files.example", "other.example", "127.0.0.1")
    urls = [f"https://{host}:{secure.port}/x" for host in hosts]
    first, second, third, fourth = fetch(*urls, SSL_CERT_FILE=str(CERTIFICATE))
    assert (first, second) == ("secure", "secure")
    assert "its certificate is not valid: Hostname mismatch" in third
    assert "its certificate is not valid: IP address mismatch" in fourth
    assert len(secure.requests) == 2


def test_a_certificate_of_nobody_is_refused(
    fetch: Callable[..., list[str]], secure: RawServer
) -> None:
    (text,) = fetch(f"https://localhost:{secure.port}/x")
    assert text.startswith(f"file: https://localhost:{secure.port}/x: its certificate is not valid")
    assert secure.requests == []


def test_certificates_that_are_not_there(
    fetch: Callable[..., list[str]], secure: RawServer
) -> None:
    (text,) = fetch(f"https://localhost:{secure.port}/x", SSL_CERT_FILE="/nowhere.pem")
    assert text.startswith("file: the certificates of this server's environment cannot be read")
    assert "SSL_CERT_FILE" in text


def test_a_server_without_tls(fetch: Callable[..., list[str]]) -> None:
    def answer(_: RawServer, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65536)

    with serving(answer) as server:
        (text,) = fetch(f"https://localhost:{server.port}/x")
    assert text.startswith(f"file: https://localhost:{server.port}/x: TLS failed: ")


# --- proxies ----------------------------------------------------------------------------------


def test_a_proxy_resolves_names(fetch: Callable[..., list[str]]) -> None:
    """It is the operator's, who may have it anywhere; and it may know names that we do not."""
    with serving(partial(proxy, 0)) as server:
        printed = fetch(
            "http://inside.invalid/x?a=1",
            "http://8.8.8.8/y",
            options="Options(deny_private_urls=True)",
            HTTP_PROXY=server.url,
        )
    assert printed == ["by the proxy", "by the proxy"]
    assert server.requests == [
        "GET http://inside.invalid/x?a=1 HTTP/1.1",
        "GET http://8.8.8.8/y HTTP/1.1",
    ]


def test_a_proxy_is_not_asked_for_addresses_that_are_refused(
    fetch: Callable[..., list[str]],
) -> None:
    hosts = [
        "169.254.169.254",
        "169.254.169.254.",
        "0xa9fea9fe",
        "2852039166",
        "[::ffff:169.254.169.254]",
        "10.0.0.1",
        "127.1",
        "[fd12::1]",
    ]
    with serving(partial(proxy, 0)) as server:
        printed = fetch(
            *[f"http://{host}/x" for host in hosts],
            "http://%31%36%39.254.169.254/",
            options="Options(deny_private_urls=True)",
            ALL_PROXY=server.url.removeprefix("http://"),
        )
    assert server.requests == []
    assert [line.partition(" leads to a ")[2].partition(" ")[0] for line in printed] == [
        *["link-local"] * 5,
        "private",
        "loopback",
        "private",
        "",
    ]
    assert printed[-1].endswith("its host is neither a name nor an address")


def test_what_goes_around_the_proxy_is_checked(fetch: Callable[..., list[str]]) -> None:
    with serving(partial(proxy, 0)) as server, serving(content) as direct:
        printed = fetch(
            f"http://direct.example:{direct.port}/x",
            options="Options(deny_private_urls=True)",
            HTTP_PROXY=server.url,
            NO_PROXY="direct.example",
        )
    assert "leads to a loopback address" in printed[0]
    assert server.requests == direct.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_tls_through_a_proxy(
    scheme: str, fetch: Callable[..., list[str]], secure: RawServer
) -> None:
    """Also through one that is itself spoken to through TLS."""
    answer = partial(proxy, secure.port)
    with serving(through_tls(answer) if scheme == "https" else answer) as server:
        printed = fetch(
            "https://files.example/x",
            HTTPS_PROXY=f"{scheme}://user:secret@localhost:{server.port}",
            SSL_CERT_FILE=str(CERTIFICATE),
        )
    assert printed == ["secure"]
    assert server.requests == ["CONNECT files.example:443 HTTP/1.1"]
    assert secure.requests == ["GET /x HTTP/1.1"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("socks5://user:secret@127.0.0.1:1", "SOCKS proxies need socksio"),
        ("gopher://user:secret@127.0.0.1:1", "the proxy that this server's environment names"),
        ("http://user:secret@127.0.0.1:1", "cannot connect: Connection refused"),
    ],
)
def test_a_proxy_that_is_none(url: str, reason: str, fetch: Callable[..., list[str]]) -> None:
    (text,) = fetch("http://files.example/x", HTTP_PROXY=url)
    assert text.startswith(f"file: http://files.example/x: {reason}")
    assert "secret" not in text
