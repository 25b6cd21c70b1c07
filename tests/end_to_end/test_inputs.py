"""What the operator lets clients name as a file."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.server import Server, serving, within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REF = "file_reader.py:Predictor"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file.txt"
    file.write_text("read me")
    return file


@contextmanager
def files_at(folder: Path) -> Iterator[str]:
    """The URL of a server for the files of a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def error_of(server: Server, file: str) -> str:
    answer = await server.predict(file=file)
    assert answer["status"] == "failed", answer
    error: str = answer["error"]
    return error


async def test_local_files_are_refused(file: Path) -> None:
    async with serving(REF) as server:
        with within(20):
            for text in (str(file), file.as_uri(), "../end_to_end/echo.py"):
                error = await error_of(server, text)
                assert error.startswith("Input validation error: file: give an http:, https: or ")
                assert "--allow-local-files" in error


async def test_the_operator_may_allow_local_files(file: Path) -> None:
    async with serving(REF, "--allow-local-files") as server:
        with within(20):
            for text in (str(file), file.as_uri()):
                assert await server.output(file=text) == "read me"


async def test_private_urls_are_allowed(file: Path) -> None:
    with files_at(file.parent) as url:
        async with serving(REF, NO_PROXY="*") as server:
            with within(20):
                assert await server.output(file=f"{url}/{file.name}") == "read me"
                error = await error_of(server, "http://user:secret@169.254.169.254/x?secret")
    assert error == (
        "Input validation error: file: http://169.254.169.254/x: "
        "leads to a link-local address; those are always refused"
    )


async def test_the_operator_may_refuse_private_urls(file: Path) -> None:
    with files_at(file.parent) as url:
        async with serving(REF, "--deny-private-urls", NO_PROXY="*") as server:
            with within(20):
                error = await error_of(server, f"{url}/{file.name}")
    assert "leads to a loopback address" in error
    assert "--deny-private-urls" in error


async def test_the_operator_limits_downloads(file: Path) -> None:
    with files_at(file.parent) as url:
        async with serving(REF, "--download-max", "3", NO_PROXY="*") as server:
            with within(20):
                error = await error_of(server, f"{url}/{file.name}")
    assert error.endswith("/file.txt: larger than 3 bytes (--download-max)")
