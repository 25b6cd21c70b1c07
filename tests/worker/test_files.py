"""Downloads, against a server of our own."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path  # noqa: TC003 - the signatures below are read at run time
from typing import TYPE_CHECKING, BinaryIO

import pytest

from tests.closed_port import closed_port
from tests.worker.driver import worker
from worker.inputs import InputFailure, prepared_inputs
from worker.options import Options
from worker.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    RunPython = Callable[[str], str]

pytestmark = pytest.mark.usefixtures("temporary", "no_proxy")

WAIT = 30.0
"""Seconds after which a test that hangs fails."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests: list[str] = []
        self.agents: list[str] = []
        self.gathered = threading.Barrier(3)
        self.go_on = threading.Event()
        self.reached = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is what some of the tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append(path)
        self.server.agents.append(self.headers["user-agent"])
        name = path.split("/")[1]
        getattr(self, f"do_{name}", self.do_content)()

    def answer(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for header, value in {"content_length": str(len(content)), **headers}.items():
            self.send_header(header.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def do_content(self) -> None:
        self.answer(b"content of " + self.path.encode())

    def do_missing(self) -> None:
        self.answer(b"", 404)

    def do_gzip(self) -> None:
        self.answer(gzip.compress(b"unpacked"), content_encoding="gzip")

    def do_redirect(self) -> None:
        self.answer(b"", 302, location="/redirected/to.txt")

    def do_loop(self) -> None:
        self.answer(b"", 302, location="/loop")

    def do_elsewhere(self) -> None:
        self.answer(b"", 302, location="file:///etc/passwd")

    def do_together(self) -> None:
        self.server.gathered.wait(WAIT)
        self.do_content()

    def do_unstable(self) -> None:
        if self.server.requests.count("/unstable") < 3:
            self.close_connection = True
        else:
            self.do_content()

    def do_broken(self) -> None:
        self.close_connection = True

    def do_announced(self) -> None:
        self.answer(b"", content_length=str(10**12))

    def do_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 10_000)

    def do_stalled(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"first part")
        self.server.reached.set()
        self.server.go_on.wait(WAIT)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join(WAIT)


def run(file: Path) -> None: ...


def run_many(files: list[Path]) -> None: ...


def run_open(file: BinaryIO) -> None: ...


ONE, MANY, OPEN = signature_of(run), signature_of(run_many), signature_of(run_open)


@contextmanager
def fetched(url: str, options: Options | None = None) -> Iterator[Path]:
    with prepared_inputs(ONE, {"file": url}, options or Options()) as arguments:
        yield arguments["file"]


# --- what comes -------------------------------------------------------------------------------


def test_a_download_keeps_its_name_and_goes_at_the_end(server: Server, temporary: Path) -> None:
    with fetched(f"{server.url}/a/image%20one.txt?token=1") as path:
        assert path.name == "image one.txt"
        assert path.read_bytes() == b"content of /a/image%20one.txt?token=1"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "file"),
        ("/folder/", "file"),
        ("/..", "file"),
        ("/a/%2e%2e", "file"),
        ("/a%2Fb%00c.txt", "a_b_c.txt"),
        ("/a+b.txt", "a b.txt"),
        ("/" + "n" * 300 + ".png", "n" * 195 + "~.png"),
        ("/x." + "e" * 300, "x." + "e" * 198),
        ("/" + "%C3%A9" * 150 + ".png", "é" * 97 + "~.png"),
    ],
)
def test_names_are_made_safe(path: str, name: str, server: Server, temporary: Path) -> None:
    with fetched(server.url + path) as file:
        assert file.name == name
        assert file.is_relative_to(temporary)
        assert file.exists()


def test_an_open_file(server: Server) -> None:
    with prepared_inputs(OPEN, {"file": f"{server.url}/x"}, Options()) as arguments:
        stream = arguments["file"]
        assert stream.read() == b"content of /x"
        assert stream.seekable()
    assert stream.closed


def test_downloads_run_at_once(server: Server) -> None:
    """Each of the three answers only when all three have been asked for."""
    urls = [f"{server.url}/together/{i}" for i in range(3)]
    with prepared_inputs(MANY, {"files": urls}, Options()) as arguments:
        texts = [path.read_text() for path in arguments["files"]]
    assert texts == [f"content of /together/{i}" for i in range(3)]


def test_a_list_may_mix_kinds_of_urls(server: Server) -> None:
    with prepared_inputs(MANY, {"files": ["data:,a", f"{server.url}/b"]}, Options()) as arguments:
        assert [path.read_text() for path in arguments["files"]] == ["a", "content of /b"]


def test_compressed_content_is_unpacked(server: Server) -> None:
    with fetched(f"{server.url}/gzip") as path:
        assert path.read_text() == "unpacked"


def test_redirects_are_followed(server: Server) -> None:
    with fetched(f"{server.url}/redirect") as path:
        assert path.read_text() == "content of /redirected/to.txt"


def test_a_broken_connection_is_tried_again(server: Server) -> None:
    with fetched(f"{server.url}/unstable") as path:
        assert path.read_text() == "content of /unstable"
    assert server.requests == ["/unstable"] * 3


@pytest.mark.parametrize("agent", [None, "cog-worker/1.0"])
def test_the_user_agent(agent: str | None, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COG_USER_AGENT", raising=False)
    if agent:
        monkeypatch.setenv("COG_USER_AGENT", agent)
    with fetched(f"{server.url}/x"):
        (seen,) = server.agents
    assert seen == agent if agent else seen.startswith("python-httpx/")


# --- what does not ----------------------------------------------------------------------------


def refusal(url: str, options: Options | None = None) -> str:
    with pytest.raises(InputFailure) as caught:
        fetched(url, options).__enter__()
    return str(caught.value)


def test_a_status_is_told_without_the_credentials_of_the_url(server: Server) -> None:
    url = server.url.replace("http://", "http://user:pass@")
    text = refusal(f"{url}/missing?signature=secret")
    assert text == f"file: 404 Not Found for url: {server.url}/missing"


def test_endless_redirects(server: Server) -> None:
    assert refusal(f"{server.url}/loop") == f"file: {server.url}/loop: more than 5 redirects"
    assert len(server.requests) == 6


def test_a_redirect_to_a_local_file_is_not_followed(server: Server) -> None:
    text = refusal(f"{server.url}/elsewhere")
    assert text.endswith("/elsewhere: redirects to what is neither an http: nor an https: URL")


def test_a_connection_that_stays_broken(server: Server) -> None:
    text = refusal(f"{server.url}/broken")
    assert text == f"file: {server.url}/broken: the server's answer breaks off, or is not HTTP"
    assert server.requests == ["/broken"] * 3


def test_nobody_listens() -> None:
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}/x"
        assert refusal(url) == f"file: {url}: cannot connect: Connection refused"


@pytest.mark.parametrize("url", ["http://", "http://[", "http://a b/", "https://\0/", "http://:x/"])
def test_odd_urls(url: str) -> None:
    assert refusal(url).startswith("file: ")


@pytest.mark.parametrize("path", ["/announced", "/endless"])
def test_a_file_that_is_too_big(path: str, server: Server, temporary: Path) -> None:
    text = refusal(server.url + path, Options(download_max=100_000))
    assert text == f"file: {server.url}{path}: larger than 100000 bytes (--download-max)"
    assert list(temporary.iterdir()) == []


def test_a_file_that_takes_too_long(server: Server, temporary: Path) -> None:
    text = refusal(f"{server.url}/endless", Options(download_timeout=0.2))
    reason = "not done after 0.2 seconds (--download-timeout)"
    assert text == f"file: {server.url}/endless: {reason}"
    assert list(temporary.iterdir()) == []


def test_the_place_in_a_list_is_named(server: Server) -> None:
    urls = [f"{server.url}/x", f"{server.url}/missing"]
    with pytest.raises(InputFailure, match=r"^files\[1\]: 404 Not Found for url"):
        prepared_inputs(MANY, {"files": urls}, Options()).__enter__()


def test_partial_files_of_a_failed_batch_are_removed(server: Server, temporary: Path) -> None:
    """One file fails while another one is in the middle: neither waits nor leaves anything."""

    class MissingComesLater(Handler):
        def do_missing(self) -> None:
            assert self.server.reached.wait(WAIT)
            super().do_missing()

    server.RequestHandlerClass = MissingComesLater
    urls = [f"{server.url}/missing", f"{server.url}/stalled"]
    with pytest.raises(InputFailure, match="404"):
        prepared_inputs(MANY, {"files": urls}, Options()).__enter__()
    assert list(temporary.iterdir()) == []


# --- httpx ------------------------------------------------------------------------------------

DATA_AND_HTTP = """
from pathlib import Path
from worker.inputs import InputFailure, prepared_inputs
from worker.options import Options
from worker.signature import signature_of
def run(file: Path): ...
signature = signature_of(run)
with prepared_inputs(signature, {"file": "data:,without"}, Options()) as arguments:
    print(arguments["file"].read_text(), "httpx" in sys.modules)
try:
    with prepared_inputs(signature, {"file": URL}, Options()) as arguments:
        print(arguments["file"].read_text())
except InputFailure as error:
    print(error)
"""


def test_httpx_is_loaded_for_downloads_alone(server: Server, run_python: RunPython) -> None:
    printed = run_python(f"URL = '{server.url}/with'\n{DATA_AND_HTTP}")
    assert printed == "without False\ncontent of /with\n"


INSTALL = "URLs as inputs need httpx in the model's environment: pip install httpx"
BROKEN = "httpx of the model's environment cannot be loaded: ModuleNotFoundError: no h11"


@pytest.mark.parametrize(
    ("absent", "error"), [("httpx", INSTALL), ("httpcore", INSTALL), ("h11", BROKEN)]
)
def test_without_httpx_the_error_says_what_to_install(
    absent: str, error: str, run_python: RunPython
) -> None:
    hide = f"""
import importlib.abc
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "{absent}":
            raise ModuleNotFoundError(f"no {{name}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
    printed = run_python(f"{hide}\nURL = 'http://127.0.0.1:1/'\n{DATA_AND_HTTP}")
    assert printed.splitlines() == ["without False", f"file: {error}"]


@pytest.mark.parametrize("first", ["import certifi, email", ""])
def test_a_model_may_have_modules_named_like_those_that_httpx_needs(
    first: str, server: Server, tmp_path: Path, run_python: RunPython
) -> None:
    for name in ("certifi", "email"):
        (tmp_path / f"{name}.py").write_text("whose = 'the model'")
    printed = run_python(
        f"""
import worker.inputs
assert "email" not in sys.modules
sys.path.insert(0, "")
{first}
URL = '{server.url}/with'
{DATA_AND_HTTP}
import certifi, email
print(certifi.whose, email.whose, sys.path[0] == "")
"""
    )
    assert printed.splitlines()[1:] == ["content of /with", "the model the model True"]


@pytest.mark.parametrize("first", ["import httpx", "import httpcore", ""])
def test_a_model_may_have_an_httpx_of_its_own(
    first: str, server: Server, tmp_path: Path, run_python: RunPython
) -> None:
    for name in ("httpx", "httpcore"):
        (tmp_path / f"{name}.py").write_text("whose = 'the model'")
    printed = run_python(
        f"""
import worker.inputs
sys.path.insert(0, "")
{first}
URL = '{server.url}/with'
{DATA_AND_HTTP}
try:
    with prepared_inputs(signature, {{"file": "{server.url}/missing"}}, Options()): ...
except InputFailure as error:
    print(error)
import httpcore, httpx
print(httpx.whose, httpcore.whose, sys.path[0] == "")
"""
    )
    assert printed.splitlines()[1:] == [
        "content of /with",
        f"file: 404 Not Found for url: {server.url}/missing",
        "the model the model True",
    ]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_the_logs_of_a_model_tell_no_secrets(kind: str, server: Server, tmp_path: Path) -> None:
    """httpx logs whole URLs, with all the logging that a model may have switched on."""
    model = f"""
    import logging, pathlib
    logging.basicConfig(level=logging.DEBUG)
    class Predictor:
        {kind} predict(self, url: str, file: pathlib.Path) -> str:
            import httpx
            httpx.get(url + "?visible", trust_env=False)
            return file.read_text()
    """
    with worker(tmp_path, model, environment={"NO_PROXY": "*"}) as driver:
        driver.wait_ready()
        secret = server.url.replace("http://", "http://user:secret@")
        result = driver.predict(url=server.url, file=f"{secret}/redirect?signature=secret")
        assert result.outputs == ["content of /redirected/to.txt"]
        assert "visible" in result.logs
        assert "secret" not in result.logs + driver.worker_log
        assert "redirect" not in result.logs + driver.worker_log
