"""One file, sent to a receiver on a real socket that does what receivers do."""

from __future__ import annotations

import hashlib
import resource
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import stamina
import trio
import trio.testing

from protocol.messages import FileKind, FileOutput, Trace
from supervisor.outputs import OutputUnreadable, open_file
from supervisor.uploads import Destination, Uploader, UploadFailed, file_headers
from tests.closed_port import closed_port
from tests.supervisor.process_table import until
from tests.supervisor.receiver import OK, Received, always, answer, in_turn, never, receiving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from trio.testing import MockClock

    from supervisor.outputs import OutputFile
    from tests.supervisor.receiver import Receiver

CONTENT = bytes(range(256)) * 10
TRACE = Trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=käse")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tries follow each other at once; and no proxy of the machine's comes between."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


@asynccontextmanager
async def uploading(patience: float = 20.0) -> AsyncIterator[Uploader]:
    uploader = Uploader(None, patience)
    try:
        with trio.fail_after(60):
            yield uploader
    finally:
        await uploader.aclose()


async def opened(path: Path, mime_type: str | None = None) -> OutputFile:
    message = FileOutput(str(path), FileKind.FILE, mime_type)
    return await open_file(message, output_dir=str(path.parent), anywhere=False, limit=10**9)


async def put(
    path: Path, url: str, *, patience: float = 20.0, while_open: Callable[[], object] = lambda: None
) -> str:
    """Upload a file; where it is."""
    with await opened(path) as file:
        while_open()
        async with uploading(patience) as uploader:
            target = Destination.parse(url).of(file.name)
            return await uploader.put(file, target, file_headers(file, "p1", TRACE))


async def failure(path: Path, url: str, *, patience: float = 20.0) -> str:
    """Why it cannot be uploaded."""
    with pytest.raises(UploadFailed) as caught:
        await put(path, url, patience=patience)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "out.png"
    path.write_bytes(CONTENT)
    return path


# --- what is sent -----------------------------------------------------------------------------


async def test_the_request(file: Path) -> None:
    async with receiving(always(OK)) as receiver:
        where = await put(file, f"{receiver.url}/up")
    (request,) = receiver.requests
    assert (request.method, request.target) == ("PUT", "/up/out.png")
    assert request.body == CONTENT
    headers = request.headers
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "image/png"
    assert headers["content-length"] == "2560"
    assert "transfer-encoding" not in headers
    assert headers["x-prediction-id"] == "p1"
    assert headers["traceparent"] == TRACE.traceparent
    assert headers["tracestate"].encode("latin-1").decode() == TRACE.tracestate
    assert where == f"{receiver.url}/up/out.png"


async def test_without_a_trace_and_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with await opened(tmp_path / "empty") as file:
        headers = file_headers(file, "p1", None)
    assert headers == {
        b"Content-Type": b"application/octet-stream",
        b"Content-Length": b"0",
        b"X-Prediction-Id": b"p1",
    }
    async with receiving(always(OK)) as receiver:
        await put(tmp_path / "empty", receiver.url)
    assert (receiver.requests[0].target, receiver.requests[0].size) == ("/empty", 0)


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("image/webp", "image/webp"),
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("a/b\r\nX-Evil: 1", "image/png"),
        ("text/html,<script>", "image/png"),
        ("png", "image/png"),
        ("", "image/png"),
        ("a/" + "b" * 200, "image/png"),
        ("text/plän", "image/png"),
    ],
)
async def test_a_type_that_is_none_is_not_believed(file: Path, said: str, sent: str) -> None:
    with await opened(file, said) as opened_file:
        assert opened_file.mime_type == sent


@pytest.mark.parametrize(
    ("url", "is_prefix", "name", "expected"),
    [
        ("http://u", False, "a.png", "http://u/a.png"),
        ("http://u/x", False, "a.png", "http://u/x/a.png"),
        ("http://u/x/", False, "a.png", "http://u/x/a.png"),
        ("http://u/x?sig=%2F1", False, "a.png", "http://u/x/a.png?sig=%2F1"),
        ("http://u/x/run-", True, "a.png", "http://u/x/run-a.png"),
        ("http://u", True, "a.png", "http://u/a.png"),
        ("http://u/x/?s=1#f", True, "a.png", "http://u/x/a.png?s=1"),
        ("http://u/", False, "a b?c#d%2e.png", "http://u/a%20b%3Fc%23d%252e.png"),
        ("http://u/", False, "ä.png", "http://u/%C3%A4.png"),
        ("http://u/", False, "a\r\nb", "http://u/a%0D%0Ab"),
    ],
)
def test_where_a_file_goes(url: str, is_prefix: bool, name: str, expected: str) -> None:
    assert str(Destination.parse(url, is_prefix=is_prefix).of(name)) == expected


@pytest.mark.parametrize(
    "text", ["", "u", "ftp://u/", "http://", "http:///x", "http://u:port/", "http://xn--a/"]
)
def test_what_is_no_destination(text: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Destination.parse(text)


def test_a_url_that_gets_too_long() -> None:
    destination = Destination.parse("http://u/" + "x" * 65_000)
    with pytest.raises(UploadFailed, match=r"^u: URL .*too long"):
        destination.of("ä" * 100)


# --- what is answered -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("https://files.example/a/b.png?sig=1", "https://files.example/a/b.png"),
        ("/final/b.png", "{url}/final/b.png"),
        ("b.png?x=1", "{url}/up/b.png"),
        ("//cdn.example/b.png", "http://cdn.example/b.png"),
        ("s3://bucket/b.png", "{url}/up/out.png"),
        ("javascript:alert(1)", "{url}/up/out.png"),
        ("file:///etc/passwd", "{url}/up/out.png"),
        ("data:text/html,x", "{url}/up/out.png"),
        ("http://xn--a/b.png", "http://xn--a/b.png"),
        ("https://user:secret@files.example/b.png", "https://files.example/b.png"),
        ("http://u:port/", "{url}/up/out.png"),
    ],
)
async def test_the_place_that_the_receiver_names(file: Path, location: str, expected: str) -> None:
    async with receiving(always(answer(201, f"Location: {location}"))) as receiver:
        where = await put(file, f"{receiver.url}/up?key=secret")
    assert where == expected.format(url=receiver.url)


async def test_without_a_place_it_is_the_last_url_without_its_query(file: Path) -> None:
    async with receiving(always(OK)) as receiver:
        where = await put(file, f"http://user:secret@127.0.0.1:{receiver.port}/up?key=secret")
    assert where == f"{receiver.url}/up/out.png"
    assert receiver.requests[0].target == "/up/out.png?key=secret"


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_gets_the_whole_file_again(file: Path, status: int) -> None:
    there = in_turn(answer(status, "Location: /there?sig=2"), OK)
    async with receiving(there) as receiver:
        where = await put(file, receiver.url)
    assert [(each.method, each.target) for each in receiver.requests] == [
        ("PUT", "/out.png"),
        ("PUT", "/there?sig=2"),
    ]
    assert [each.body for each in receiver.requests] == [CONTENT] * 2
    assert where == f"{receiver.url}/there"


async def test_see_other_is_looked_at(file: Path) -> None:
    async with receiving(in_turn(answer(303, "Location: /there"), OK)) as receiver:
        where = await put(file, receiver.url)
    assert [(each.method, each.size) for each in receiver.requests] == [("PUT", 2560), ("GET", 0)]
    assert where == f"{receiver.url}/there"


async def test_a_redirect_that_loses_the_file_is_refused(file: Path) -> None:
    async with receiving(in_turn(answer(302, "Location: /there"), OK)) as receiver:
        reason = await failure(file, receiver.url)
    assert reason == ("127.0.0.1: it redirects (302) without the file (307 and 308 would keep it)")
    assert len(receiver.requests) == 1


async def test_redirects_without_an_end(file: Path) -> None:
    async with receiving(always(answer(307, "Location: /again"))) as receiver:
        reason = await failure(file, receiver.url)
    assert reason == "127.0.0.1: there were more than 10 redirects"
    assert len(receiver.requests) == 11


async def test_a_redirect_to_what_is_no_web_page(file: Path) -> None:
    async with receiving(always(answer(307, "Location: file:///etc/passwd"))) as receiver:
        reason = await failure(file, receiver.url)
    assert reason == "127.0.0.1: is neither an http: nor an https: URL"
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("first", [answer(500), answer(503), answer(429), None])
async def test_a_second_try(file: Path, first: bytes | None) -> None:
    async with receiving(in_turn(first, OK)) as receiver:
        await put(file, receiver.url)
    assert [each.body for each in receiver.requests] == [CONTENT] * 2


@pytest.mark.parametrize(
    ("response", "reason", "tries"),
    [
        (answer(403), "127.0.0.1: it answered 403 Whatever", 1),
        (answer(304), "127.0.0.1: it answered 304 Whatever", 1),
        (answer(502), "127.0.0.1: it answered 502 Whatever", 4),
        (None, "127.0.0.1: ReadError", 4),
        (b"nonsense\r\n\r\n", "127.0.0.1: RemoteProtocolError: illegal status line", 4),
    ],
)
async def test_what_is_given_up(
    file: Path, response: bytes | None, reason: str, tries: int
) -> None:
    async with receiving(always(response)) as receiver:
        text = await failure(file, f"{receiver.url}/?key=secret")
    assert text.startswith(reason)
    assert "secret" not in text
    assert len(receiver.requests) == tries


async def test_nobody_listens(file: Path) -> None:
    with closed_port() as port:
        reason = await failure(file, f"http://127.0.0.1:{port}")
    assert reason.startswith("127.0.0.1: ConnectError")


@pytest.mark.parametrize(
    "location", ["http://u:99999/", f"http://{'x' * 300}/", "http://u:x/", "http://xn--a/"]
)
async def test_a_redirect_to_nowhere(file: Path, location: str) -> None:
    async with receiving(always(answer(307, f"Location: {location}"))) as receiver:
        reason = await failure(file, receiver.url)
    assert reason.startswith(("127.0.0.1: ", "u: ", "xxx", "xn--a: "))


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_certificates_that_cannot_be_loaded(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    certificates = tmp_path / "certificates.pem"
    if content is not None:
        certificates.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    reason = await failure(file, "https://u/")
    assert reason.startswith("u: this server cannot load the certificates to trust (SSL_CERT_FILE")
    assert str(tmp_path) not in reason


async def test_no_answer(file: Path, mock_clock: MockClock) -> None:
    async def respond(received: Received) -> bytes:
        await trio.testing.wait_all_tasks_blocked()  # it waits for the answer, and nothing else
        mock_clock.jump(2)
        return await never(received)

    async with receiving(respond) as receiver:
        reason = await failure(file, receiver.url, patience=2)
    assert reason == "127.0.0.1: it took nothing, or did not answer, for 2 s"
    assert receiver.begun == 4


async def test_an_answer_that_never_ends_is_not_waited_for(file: Path) -> None:
    async with receiving(always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as receiver:
        assert await put(file, receiver.url) == f"{receiver.url}/out.png"


async def test_a_cookie_is_not_kept(file: Path) -> None:
    async with receiving(always(answer(500, "Set-Cookie: a=b"))) as receiver:
        await failure(file, receiver.url)
    assert all("cookie" not in each.headers for each in receiver.requests)


# --- the file ---------------------------------------------------------------------------------


async def test_what_was_opened_is_sent_whatever_becomes_of_its_name(file: Path) -> None:
    def replace() -> None:
        file.unlink()
        file.write_text("another")

    async with receiving(in_turn(answer(500), OK)) as receiver:
        await put(file, receiver.url, while_open=replace)
    assert [each.body for each in receiver.requests] == [CONTENT] * 2


async def test_a_file_that_gets_shorter(file: Path) -> None:
    async with receiving(always(OK)) as receiver:
        with pytest.raises(OutputUnreadable, match=r"'out\.png' changed while it was read"):
            await put(file, receiver.url, while_open=lambda: file.write_bytes(b"short"))
    assert receiver.requests == []


async def test_a_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    size = 256 * 1024 * 1024
    path = tmp_path / "large"
    with path.open("wb") as large:
        large.truncate(size)
    async with receiving(always(OK)) as receiver:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await put(path, receiver.url)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    digest = hashlib.sha256()
    for _ in range(256):
        digest.update(bytes(1024 * 1024))
    assert (receiver.requests[0].size, receiver.requests[0].digest) == (size, digest.hexdigest())
    assert after - before < 30_000, "kB, of the receiver's too"


@asynccontextmanager
async def one_by_one(uploader: Uploader, file: Path) -> AsyncIterator[Callable[[str], None]]:
    """What begins an upload to a URL. Those that have not ended with the block are cancelled."""

    async def one(url: str) -> None:
        with await opened(file) as each:
            await uploader.put(each, httpx.URL(url), file_headers(each, "p1", None))

    async with trio.open_nursery() as nursery:
        yield lambda url: nursery.start_soon(one, url)
        nursery.cancel_scope.cancel()


async def test_a_host_that_hangs_does_not_hold_up_others(file: Path) -> None:
    async with (
        receiving(never) as hanging,
        receiving(always(OK)) as well,
        uploading(patience=600) as uploader,
        one_by_one(uploader, file) as begin,
    ):
        for _ in range(100):
            begin(hanging.url)
        await hanging.wait_begun(16)
        begin(well.url.replace("127.0.0.1", "localhost"))
        await well.wait_begun(1)
        assert hanging.begun == 16


async def test_a_try_that_failed_lets_others_go_first(file: Path) -> None:
    go_on, may_go_on = trio.open_memory_channel[bytes](100)
    begun: list[str] = []

    async def respond(received: Received) -> bytes:
        begun.append(received.target)
        return await may_go_on.receive()

    async with (
        receiving(respond) as receiver,
        uploading() as uploader,
        one_by_one(uploader, file) as begin,
        trio.open_nursery() as nursery,
    ):
        for number in range(16):
            begin(f"{receiver.url}/{number}")
        await until(lambda: len(begun) == 16)
        with await opened(file) as other:  # so that it has nothing to wait for but its place
            url, headers = httpx.URL(f"{receiver.url}/other"), file_headers(other, "p1", None)
            nursery.start_soon(uploader.put, other, url, headers)
            await trio.testing.wait_all_tasks_blocked()
            go_on.send_nowait(answer(503))
            await until(lambda: len(begun) > 16)
            assert begun[16:] == ["/other"]
            go_on.send_nowait(OK)
            await until(lambda: len(begun) > 17)
            assert begun[17] in begun[:16]
            nursery.cancel_scope.cancel()


async def test_a_receiver_that_takes_a_little_now_and_then_is_given_up(
    file: Path, mock_clock: MockClock
) -> None:
    """Here it is redirects that are progress."""

    async def respond(_: Received) -> bytes:
        mock_clock.jump(1.5)
        await trio.lowlevel.checkpoint()
        return answer(307, "Location: /again")

    async with receiving(respond) as receiver:
        reason = await failure(file, receiver.url, patience=2)
    assert reason == "127.0.0.1: it took the file too slowly: less than 256 KiB a second"
    assert receiver.begun == 4 * 5


async def test_there_is_no_other_try_after_long_ones(file: Path, mock_clock: MockClock) -> None:
    async def respond(_: Received) -> bytes:
        mock_clock.jump(50)
        await trio.lowlevel.checkpoint()
        return answer(503)

    uploader = Uploader(None, 100)
    async with receiving(respond) as receiver:
        with await opened(file) as each:
            headers = file_headers(each, "p1", None)
            with pytest.raises(UploadFailed, match="it answered 503"):
                await uploader.put(each, httpx.URL(receiver.url), headers)
        await uploader.aclose()
    assert receiver.begun == 3


async def test_not_all_at_once(file: Path) -> None:
    """A few go on together, and each one that ends lets another begin."""
    go_on, may_go_on = trio.open_memory_channel[None](100)

    async def respond(_: Received) -> bytes:
        await may_go_on.receive()
        return OK

    async def one(uploader: Uploader, receiver: Receiver) -> None:
        with await opened(file) as each:
            await uploader.put(each, httpx.URL(receiver.url), file_headers(each, "p1", None))

    async with (
        receiving(respond) as receiver,
        uploading() as uploader,
        trio.open_nursery() as nursery,
    ):
        for _ in range(20):
            nursery.start_soon(one, uploader, receiver)
        for begun in range(16, 21):
            await receiver.wait_begun(begun)
            assert receiver.begun == begun
            go_on.send_nowait(None)
        for _ in range(15):
            go_on.send_nowait(None)
    assert receiver.begun == 20
