"""From a signature to what a client is told of it, and to what it may send."""

from __future__ import annotations

import json

import trio

from supervisor.http.openapi import served_document
from tests.end_to_end.server import COMMAND, MODELS, environment, serving, within

REF = "described.py:Predictor"


async def test_what_the_signature_says_is_told_and_checked() -> None:
    async with serving(REF) as server:
        with within(20):
            document = (await server.http.get("/openapi.json")).json()
            assert await server.output() == {"Status": "x", "anything": None, "words": ["w"]}
            assert (await server.output(anything=None))["anything"] is None
            assert (await server.output(anything={"a": 1}, Status="y"))["Status"] == "y"
            refused = await server.http.post(
                "/predictions", json={"input": {"Status": "z", "words": []}}
            )
    assert refused.status_code == 422
    assert [error["msg"] for error in refused.json()["detail"]] == [
        '"z" is not one of ["x","y"]',
        "[] has less than 1 item",
    ]
    inputs = document["components"]["schemas"]["Input"]
    assert inputs["properties"]["words"]["description"] == "One or more."
    assert "/trainings" in document["paths"]

    printed = await trio.run_process(
        [*COMMAND, "schema", REF], cwd=MODELS, env=environment(), capture_stdout=True
    )
    assert served_document(json.loads(printed.stdout)) == document
