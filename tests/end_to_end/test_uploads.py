"""Output files of a real model, uploaded by a real server."""

from __future__ import annotations

import trio

from tests.end_to_end.server import serving, within
from tests.supervisor.receiver import OK, Received, receiving

REF = "files.py:Predictor"


async def respond(received: Received) -> bytes:
    """Takes everything, and moves what is uploaded first."""
    await trio.lowlevel.checkpoint()
    if received.target == "/all/out.png":
        return b"HTTP/1.1 307 Moved\r\nLocation: /moved/out.png?key=1\r\nContent-Length: 0\r\n\r\n"
    return OK


async def test_files_are_uploaded_in_order() -> None:
    async with receiving(respond) as receiver:
        options = ("--upload-url", f"{receiver.url}/all")
        async with serving(REF, *options, NO_PROXY="*") as server:
            with within(30):
                trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
                response = await server.http.put(
                    "/predictions/p1",
                    json={"input": {"count": 3, "size": 1_000_000}},
                    headers=trace,
                )
                answer = response.json()
        url = receiver.url
        assert answer["status"] == "succeeded", answer
        assert answer["output"] == [
            f"{url}/moved/out.png",
            0,
            f"{url}/all/out-1.png",
            1,
            f"{url}/all/out-2.png",
            2,
            {"nested": [f"{url}/all/out-3.png"], "plain": True},
            f"{url}/all/output.bin",
        ]
        assert answer["logs"] == "no more files\n"
    bodies = {request.target: request for request in receiver.requests}
    assert bodies["/moved/out.png?key=1"].size == 1_000_000
    assert [bodies[f"/all/out-{n}.png"].body[:1] for n in (1, 2)] == [b"\1", b"\2"]
    assert bodies["/all/output.bin"].body == b"from memory"
    for request in receiver.requests:
        assert request.headers["x-prediction-id"] == "p1"
        assert request.headers["traceparent"] == trace["traceparent"]
    assert bodies["/all/out-1.png"].headers["content-type"] == "image/png"


async def test_a_receiver_that_refuses() -> None:
    async def refuse(received: Received) -> bytes:
        """Refuses one file: of several, the one that is answered first is named."""
        await trio.lowlevel.checkpoint()
        if received.target != "/out.png?token=secret":
            return OK
        return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

    async with receiving(refuse) as receiver:
        options = ("--upload-url", f"{receiver.url}/?token=secret")
        async with serving(REF, *options, NO_PROXY="*") as server:
            with within(30):
                answer = await server.predict(count=1)
                assert answer["status"] == "failed"
                assert answer["error"] == (
                    "Output file 'out.png' could not be uploaded to 127.0.0.1: "
                    "it answered 403 Forbidden"
                )
                assert "secret" not in str(server.lines)
                assert (await server.predict(count=1))["status"] == "failed", "it is still there"
