"""Clients that others have written run a prediction and read a stream: Replicate's, httpx, curl.

A browser does so in `test_browser.py`.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from httpx_sse import aconnect_sse
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.pagination import paginate

from tests.end_to_end.conftest import installed
from tests.end_to_end.server import serving, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from replicate.stream import ServerSentEvent

    from tests.end_to_end.server import Server

MODEL = "teller.py:Predictor"
TOKEN = "a-token-of-this-test"

# --- Replicate's --------------------------------------------------------------------------------


def _client(server: Server) -> Client:
    client = Client(TOKEN, base_url=str(server.http.base_url))
    client.poll_interval = 0.02
    return client


async def use(server: Server, program: Callable[[Client], None]) -> None:
    """Run a program that waits by blocking its thread."""

    def run() -> None:
        client = _client(server)
        try:
            program(client)
        finally:
            client._client.close()

    with within(60):
        await trio.to_thread.run_sync(run, abandon_on_cancel=True)


async def use_async(server: Server, program: Callable[[Client], Awaitable[None]]) -> None:
    """Run a program that is written for asyncio."""

    async def on_asyncio() -> None:
        client = _client(server)
        try:
            await program(client)
        finally:
            await client._async_client.aclose()

    with within(60):
        await trio.to_thread.run_sync(asyncio.run, on_asyncio(), abandon_on_cancel=True)


def told(event: ServerSentEvent) -> tuple[str, str]:
    return event.event.value, event.data


STREAM = [
    ("logs", "saying one\n"),
    ("output", "one"),
    ("logs", "saying two\n"),
    ("output", "two"),
    ("done", "{}"),
]


async def test_replicates_client_runs_and_streams() -> None:
    def program(client: Client) -> None:
        assert client.run("who/ever", input={"text": "one two"}) == ["one", "two"]
        items = client.run("who/ever:version", input={"text": "one two"})
        assert not isinstance(items, list), "its schema says that items come one by one"
        assert list(items) == ["one", "two"]
        assert list(client.run("who/ever:version", input={"text": "a b"}, wait=False)) == ["a", "b"]
        assert [told(event) for event in client.stream("who/ever", input={})] == STREAM
        text = "".join(str(event) for event in client.stream("who/ever:version", input={}))
        assert text == "onetwo"

    async with serving(MODEL) as server:
        await use(server, program)


async def test_replicates_client_runs_and_streams_on_asyncio() -> None:
    async def program(client: Client) -> None:
        assert await client.async_run("who/ever", input={"text": "one two"}) == ["one", "two"]
        items = await client.async_run("who/ever:version", input={"text": "one two"})
        assert [item async for item in items] == ["one", "two"]
        stream = await client.async_stream("who/ever", input={})
        assert [told(event) async for event in stream] == STREAM
        with pytest.raises(ModelError, match="cannot say that"):
            await client.async_run("who/ever", input={"text": "fail"})

    async with serving(MODEL) as server:
        await use_async(server, program)


async def test_replicates_client_waits_looks_and_cancels() -> None:
    def program(client: Client) -> None:
        done = client.predictions.create(version="v", input={"text": "one"}, wait=20)
        assert (done.status, done.output, done.logs) == ("succeeded", ["one"], "saying one\n")
        assert client.predictions.get(done.id) == done
        later = client.predictions.create(model="who/ever", input={"text": "one"})
        assert (later.status, later.model) == ("starting", "who/ever")
        later.wait()
        assert later.output == ["one"]

        endless = client.predictions.create(version="v", input={"text": "one forever"})
        events = []
        for event in endless.stream():
            events.append(told(event))
            if events[-1] == ("output", "one"):
                listed = client.predictions.list()
                assert [each.id for each in listed] == [endless.id, later.id, done.id]
                assert listed[0].status == "processing"
                endless.cancel()
        assert events[-1] == ("done", '{"reason":"canceled"}')
        endless.reload()
        assert endless.status == "canceled"

    async with serving(MODEL) as server:
        await use(server, program)


async def test_replicates_client_waits_looks_and_cancels_on_asyncio() -> None:
    async def program(client: Client) -> None:
        done = await client.predictions.async_create(version="v", input={"text": "one"}, wait=20)
        assert (done.status, done.output) == ("succeeded", ["one"])
        endless = await client.predictions.async_create(version="v", input={"text": "one forever"})
        events = []
        async for event in endless.async_stream():
            events.append(told(event))
            if events[-1] == ("output", "one"):
                listed = await client.predictions.async_list()
                assert [each.id for each in listed] == [endless.id, done.id]
                await endless.async_cancel()
        assert events[-1] == ("done", '{"reason":"canceled"}')
        await endless.async_wait()
        assert endless.status == "canceled"

    async with serving(MODEL) as server:
        await use_async(server, program)


async def test_replicates_client_is_told_what_went_wrong() -> None:
    def program(client: Client) -> None:
        with pytest.raises(ModelError, match="cannot say that") as failed:
            client.run("who/ever", input={"text": "one fail"})
        assert "saying fail\nTraceback" in (failed.value.prediction.logs or "")
        events = client.stream("who/ever", input={"text": "fail"})
        with pytest.raises(RuntimeError, match="cannot say that"):
            list(events)
        with pytest.raises(ReplicateError) as refused:
            client.run("who/ever", input={"text": 5})
        assert refused.value.status == 422
        assert refused.value.detail == 'input.text: 5 is not of type "string"'
        with pytest.raises(ReplicateError, match="No prediction with this id"):
            client.predictions.get("nope")

    async with serving(MODEL) as server:
        await use(server, program)


async def test_replicates_client_pages() -> None:
    def program(client: Client) -> None:
        ids = [client.predictions.create(version="v", input={}, wait=20).id for _ in range(25)]
        pages = [[each.id for each in page] for page in paginate(client.predictions.list)]
        assert [len(page) for page in pages] == [20, 5]
        assert [*pages[0], *pages[1]] == ids[::-1]

    async with serving(MODEL) as server:
        await use(server, program)


async def test_replicates_client_sends_files_and_a_token(tmp_path: Path) -> None:
    path = tmp_path / "some text.txt"
    path.write_text("line\n" * 100_000)

    def program(client: Client) -> None:
        for strategy in ("base64", "url", None):
            with path.open("rb") as file:
                asked: dict[str, Any] = {"input": {"file": file}}
                output = client.run("who/ever", **asked, file_encoding_strategy=strategy)
            assert output == path.read_text()
        stranger = Client("another token", base_url=str(client._client.base_url))
        with pytest.raises(ReplicateError, match="a valid bearer token is required"):
            stranger.predictions.list()
        stranger._client.close()

    async with serving("file_reader.py:Predictor", COGLET_AUTH_TOKEN=TOKEN) as server:
        await use(server, program)


# --- httpx --------------------------------------------------------------------------------------


async def test_httpx_runs_and_streams() -> None:
    async with serving(MODEL) as server:
        with within(30):
            response = await server.http.post("/predictions", json={"input": {}})
            assert response.json()["output"] == ["one", "two"]
            asked = {"id": "p1", "input": {}}
            async with aconnect_sse(server.http, "POST", "/predictions", json=asked) as source:
                seen = [(each.id, each.event, each.json()) async for each in source.aiter_sse()]
            assert [name for _, name, _ in seen] == [
                *("start", "log", "output", "log", "output", "completed")
            ]
            assert [number for number, _, _ in seen] == [str(number) for number in range(6)]
            assert seen[-1][2]["output"] == ["one", "two"]

            known = {"last-event-id": "3"}
            path = "/predictions/p1/stream"
            async with aconnect_sse(server.http, "GET", path, headers=known) as source:
                rest = [(each.id, each.event) async for each in source.aiter_sse()]
            assert rest == [("4", "output"), ("5", "completed")]


async def test_httpx_without_a_loop_streams_line_by_line() -> None:
    async with serving(MODEL) as server:
        url = f"{server.http.base_url}/predictions"

        def read() -> list[str]:
            accept = {"accept": "text/event-stream"}
            with (
                httpx.Client() as client,
                client.stream("POST", url, json={"input": {}}, headers=accept) as response,
            ):
                return [line for line in response.iter_lines() if line.startswith("event")]

        with within(30):
            lines = await trio.to_thread.run_sync(read, abandon_on_cancel=True)
    assert lines[:3] == ["event: start", "event: log", "event: output"]
    assert lines[3:] == ["event: log", "event: output", "event: completed"]


# --- curl ---------------------------------------------------------------------------------------


async def test_curl_runs_and_streams() -> None:
    """With -N it shows each event at once, so that the test can end what has no end of its own."""
    curl = installed("curl")
    async with serving(MODEL) as server:
        base = server.http.base_url
        shared = [curl, "-sS", "-N", "--fail-with-body", "-H", "content-type: application/json"]

        def command(path: str, *more: str) -> list[str]:
            return [*shared, *more, f"{base}/{path}"]

        with within(30):
            answer = await trio.run_process(
                command("predictions", "-d", '{"input": {}}'), capture_stdout=True
            )
            assert json.loads(answer.stdout)["output"] == ["one", "two"]

            body = '{"id": "endless", "input": {"text": "one forever"}}'
            asked = command("predictions", "-H", "accept: text/event-stream", "-d", body)
            process = await trio.lowlevel.open_process(asked, stdout=subprocess.PIPE)
            assert process.stdout is not None
            async with process.stdout:
                shown = await read_until(process.stdout, b"event: output\n")
                assert b"event: start\n" in shown
                cancel = command("predictions/endless/cancel", "-X", "POST")
                assert (await trio.run_process(cancel, capture_stdout=True)).stdout == b"{}"
                rest = b"".join([bytes(piece) async for piece in process.stdout])
            assert await process.wait() == 0
        assert b"event: completed\n" in rest
        assert b'"status":"canceled"' in rest


async def read_until(stream: trio.abc.ReceiveStream, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        more = await stream.receive_some()
        assert more, data
        data += more
    return data
