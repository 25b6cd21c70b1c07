"""TLS on real sockets. The certificate in `tls/` is its own authority, for localhost."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from supervisor.config import Config, Limits, Times
from supervisor.http.server import serve_http
from supervisor.http.tls import TlsError
from tests.supervisor.http.wire import message, read_answer, read_to_end

if TYPE_CHECKING:
    from tests.supervisor.http.fake_service import FakeService, Serve

FILES = Path(__file__).with_name("tls")
CERT, KEY = str(FILES / "cert.pem"), str(FILES / "key.pem")


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=CERT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def test_requests_over_tls(service: FakeService, serve: Serve) -> None:
    async with serve(tls_cert=CERT, tls_key=KEY) as running:
        assert running.found.url == f"https://127.0.0.1:{running.port}"
        url = f"https://localhost:{running.port}"
        async with httpx.AsyncClient(base_url=url, verify=trusting(), http2=True) as client:
            service.output = "y" * 3_000_000
            answer = await client.post("/predictions", json={"input": {}})
            assert answer.json()["output"] == service.output
            assert answer.http_version == "HTTP/1.1"  # though the client would speak HTTP/2


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Certificate and key in one file."""
    path = tmp_path / "both.pem"
    path.write_text(Path(CERT).read_text() + Path(KEY).read_text())
    return path


async def test_certificate_and_key_may_be_in_one_file(serve: Serve, both: Path) -> None:
    async with serve(tls_cert=str(both)) as running:
        url = f"https://localhost:{running.port}"
        async with httpx.AsyncClient(base_url=url, verify=trusting()) as client:
            assert (await client.get("/health-check")).status_code == 200


async def _secured(running_port: int) -> trio.SSLStream[trio.SocketStream]:
    plain = await trio.open_tcp_stream("127.0.0.1", running_port)
    return trio.SSLStream(plain, trusting(), server_hostname="localhost", https_compatible=True)


async def test_the_versions_and_the_protocol(serve: Serve) -> None:
    async with serve(tls_cert=CERT, tls_key=KEY) as running, await _secured(running.port) as stream:
        await stream.do_handshake()
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert stream.version() == "TLSv1.3"


@pytest.mark.parametrize("first", [b"", b"\x16\x03", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"])
async def test_a_client_without_a_handshake_is_dropped_in_time(serve: Serve, first: bytes) -> None:
    times = Times(header_timeout=0.05)
    async with (
        serve(tls_cert=CERT, tls_key=KEY, times=times) as running,
        await running.connect() as stream,
    ):
        got = b""
        with suppress(trio.BrokenResourceError):  # reset, if it sends when its time is over
            await stream.send_all(first)
            got = await read_to_end(stream)
        assert b"HTTP" not in got


async def test_a_client_that_does_not_trust_us_disturbs_nobody(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serve(tls_cert=CERT, tls_key=KEY) as running:
        url = f"https://127.0.0.1:{running.port}"
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.ConnectError):
                await client.get("/health-check")
        async with httpx.AsyncClient(base_url=url, verify=trusting()) as client:
            assert (await client.get("/health-check")).status_code == 200
    assert capfd.readouterr() == ("", "")


async def test_the_end_of_a_client_cancels_its_prediction(
    service: FakeService, serve: Serve
) -> None:
    service.hold = True
    async with serve(tls_cert=CERT, tls_key=KEY) as running:
        stream = await _secured(running.port)
        await stream.send_all(message())
        await service.submitted.wait()
        await stream.aclose()
        await service.handles[0].wait()
        assert service.handles[0].is_canceled


async def test_a_client_that_does_not_read_is_dropped(service: FakeService, serve: Serve) -> None:
    service.output = "y" * 30_000_000
    times = Times(write_timeout=0.1)
    async with serve(tls_cert=CERT, tls_key=KEY, times=times) as running:
        async with await _secured(running.port) as stream:
            await stream.send_all(message())
            await service.submitted.wait()
            await running.draining.wait_answered()
            got = 0
            while more := await stream.receive_some():
                got += len(more)
        assert got < 30_000_000


async def test_one_connection_too_many_is_closed(serve: Serve) -> None:
    limits = Limits(max_connections=1)
    async with serve(tls_cert=CERT, tls_key=KEY, limits=limits) as running:
        first = await _secured(running.port)
        await first.send_all(message())
        assert (await read_answer(first))[0] == 200
        async with await running.connect() as second:
            assert await read_to_end(second) == b""
        await first.aclose()


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        ("none.pem", None, r"--tls-cert: cannot read .*none\.pem: No such file or directory"),
        ("cert.pem", "none.pem", r"--tls-key: cannot read .*none\.pem: No such file"),
        ("cert.pem", None, "--tls-cert: .*cert.pem cannot be used: it holds no certificate and"),
        ("cert.pem", "other-key.pem", "cannot be used: the key is not the certificate's"),
        ("cert.pem", "encrypted-key.pem", "cannot be used: .*encrypted"),
        ("key.pem", "key.pem", "cannot be used: it holds no certificate"),
        (".", "key.pem", "cannot be used"),
    ],
)
async def test_what_cannot_be_used_is_said_in_one_line(
    service: FakeService, cert: str, key: str | None, complaint: str
) -> None:
    config = Config(
        "model.py",
        port=0,
        tls_cert=str(FILES / cert),
        tls_key=None if key is None else str(FILES / key),
    )
    with pytest.raises(TlsError, match=complaint) as caught:
        await serve_http(service, config)
    assert "\n" not in str(caught.value)
