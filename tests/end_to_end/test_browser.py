"""A page of another origin, in a real browser: `fetch` runs a prediction, `EventSource` reads it.

`apt install chromium` is what this needs, and CI does it (`.ci/run`). Elsewhere it is skipped
without it.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import trio

from tests.end_to_end.conftest import installed
from tests.end_to_end.server import serving, within
from tests.supervisor.receiver import OK, Received, answer, receiving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.browser

PAGE = Path(__file__).with_name("page.html").read_bytes()
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    # Without these it asks hosts of its maker's.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def browsing(url: str, folder: Path) -> AsyncIterator[None]:
    """A browser with its own profile that shows one page."""
    chromium = installed("chromium")
    with (folder / "chromium.log").open("wb") as log:
        process = await trio.lowlevel.open_process(
            [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", url],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()


class CuttingProxy:
    """Leads to the server, and cuts the first connection behind the first output that it carries.

    Attributes:
        heads: of the requests, each on a connection of its own.
        second: a channel that ends when the second connection leads to the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.heads: list[str] = []
        self._second, self.second = trio.open_memory_channel[None](0)

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection."""
        head = b""
        while b"\r\n\r\n" not in head:
            more = await client.receive_some()
            if not more:
                return  # one that the browser opened in advance
            head += more
        self.heads.append(head.decode("latin-1").lower())
        is_first = len(self.heads) == 1
        async with await trio.open_tcp_stream("127.0.0.1", self._port) as server:
            await server.send_all(head)
            if not is_first:
                self._second.close()
            carried = b""
            async for data in server:
                carried += data
                _, mark, rest = carried.partition(b"event: output\n")
                end = rest.find(b"\n\n")
                if is_first and mark and end >= 0:
                    await client.send_all(data[: len(data) - len(rest) + end + 2])
                    return
                try:
                    await client.send_all(data)
                except trio.BrokenResourceError:
                    if b"event: completed\n" not in carried:
                        raise
                    return  # the page has read that, and does not wait for what comes behind


async def test_a_page_reads_a_stream_to_its_end_though_its_connection_is_cut(
    tmp_path: Path,
) -> None:
    until = tmp_path / "until"
    os.mkfifo(until)
    send_report, reports = trio.open_memory_channel[dict[str, Any]](1)

    async def respond(request: Received) -> bytes:
        if request.target == "/report":
            await send_report.send(json.loads(request.body))
            return OK
        if not request.target.startswith("/?"):
            return answer(404)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(PAGE)}\r\n\r\n"
        return head.encode() + PAGE

    async with (
        receiving(respond) as pages,
        serving("teller.py:Predictor", "--cors-origin", pages.url) as server,
        trio.open_nursery() as nursery,
    ):
        proxy = CuttingProxy(server.http.base_url.port or 0)
        (listener, *_) = await nursery.start(trio.serve_tcp, proxy.serve, 0)
        streams = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        query = {"server": str(server.http.base_url), "streams": streams, "until": str(until)}
        async with browsing(f"{pages.url}/?{urlencode(query)}", tmp_path):
            with within(60):
                # The rest is said when the browser has come back: it arrives live.
                async for _ in proxy.second:
                    pass
                async with await trio.open_file(until, "w"):
                    pass
                seen = await reports.receive()
        nursery.cancel_scope.cancel()

    assert "error" not in seen, seen
    assert (seen["status"], seen["applied"], seen["interruptions"]) == (202, "respond-async", 1)
    events = seen["events"]
    assert [int(number) for number, _, _ in events] == list(range(len(events))), "none twice"
    outputs = [data["chunk"] for _, name, data in events if name == "output"]
    assert outputs == ["one", "until", "two"]
    assert events[-1][1:] == ["completed", {**events[-1][2], "status": "succeeded"}]
    first, second = proxy.heads
    assert "last-event-id" not in first
    assert "last-event-id: 2\r\n" in second, "start, log, output"
