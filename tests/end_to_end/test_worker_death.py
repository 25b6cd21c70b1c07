"""A worker that dies: what its client is told, and that the next one comes."""

from __future__ import annotations

import os
import shlex
import signal
import sys

import trio

from tests.end_to_end.server import MODELS, PATIENT, serving, within

QUICKLY = ("--restart-pause", "0.01", "--restart-pause-max", "0.01")


async def test_a_killed_worker_fails_its_prediction_by_name_and_is_replaced() -> None:
    async with serving("ending.py:Predictor", *PATIENT) as server:
        first = int(await server.output())
        answers = []

        async def ask() -> None:
            answers.append(await server.predict(how="wait"))

        with within(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                seen = await server.said(f"waiting in {first}")
                os.kill(first, signal.SIGKILL)
                with within(10):
                    await server.line(lambda line: "SIGKILL" in str(line["fields"]), after=seen)
        (answer,) = answers
        assert answer["status"] == "failed"
        assert "SIGKILL" in answer["error"]
        assert "waiting in" in answer["logs"]
        with within(20):
            await server.ready(after=seen)
            second = int(await server.output())
        assert second != first
        assert server.zombies() == []


async def test_the_client_is_told_at_once() -> None:
    async with serving("ending.py:Predictor", *PATIENT) as server:
        pid = int(await server.output())
        async with trio.open_nursery() as nursery:
            answered = trio.Event()

            async def ask() -> None:
                answer = await server.predict(how="wait_uninterruptible")
                assert "SIGKILL" in answer["error"]
                answered.set()

            nursery.start_soon(ask)
            with within(20):
                await server.said(f"waiting in {pid}")
            os.kill(pid, signal.SIGKILL)
            with within(10):
                await answered.wait()


async def test_native_output_that_no_thread_of_the_worker_can_read_is_read() -> None:
    async with serving("ending.py:Predictor") as server:
        with within(20):
            answer = await server.predict(how="flood")
            assert answer["status"] == "succeeded"
            # Not compared in one go: the difference of megabytes would take minutes to print.
            logs = answer["logs"]
            assert logs.count("\ufffd") == 0
            assert logs == "x" + "é" * 2_000_000 + "x" * 2_000_000 + "and out\n"


async def test_the_reason_of_an_abort_after_a_flood_is_in_the_error() -> None:
    async with serving("ending.py:Predictor", *QUICKLY) as server:
        with within(20):
            answer = await server.predict(how="flood_and_abort")
        assert answer["status"] == "failed"
        assert "SIGABRT" in answer["error"]
        assert "CUDA error: out of luck" in answer["error"]


async def test_an_exit_of_its_own_is_told_with_its_code() -> None:
    async with serving("ending.py:Predictor", *QUICKLY) as server:
        with within(20):
            answer = await server.predict(how="exit")
            assert answer["status"] == "failed"
            assert "code 3" in answer["error"]


async def test_the_last_words_of_an_abort_are_in_the_error() -> None:
    async with serving("ending.py:Predictor", *QUICKLY) as server:
        with within(20):
            answer = await server.predict(how="abort")
        assert answer["status"] == "failed"
        assert "SIGABRT" in answer["error"]
        assert "free(): invalid pointer" in answer["error"]
        assert "free(): invalid pointer" in answer["logs"]


async def test_an_answer_that_was_written_counts_though_its_writer_is_dead() -> None:
    worker = shlex.join([sys.executable, str(MODELS / "foreign_worker.py")])
    async with serving("none", "--worker-command", worker, *QUICKLY) as server:
        seen = 0
        for number in range(60):
            with within(20):
                seen = await server.ready(after=seen)
                answer = await server.predict()
            assert answer["status"] == "succeeded", (number, answer["error"])
            assert len(answer["output"]) == 2**20
        with within(20):
            await server.ready(after=seen)  # the last one before it is gone, not just going
        assert server.zombies() == []


async def test_so_does_the_answer_of_our_own_worker() -> None:
    async with serving("ending.py:DiesAfterAnswer", *QUICKLY) as server:
        seen = 0
        for number in range(10):
            with within(20):
                seen = await server.ready(after=seen)
                answer = await server.predict(size=2**20)
            assert answer["status"] == "succeeded", (number, answer.get("error"))
            assert len(answer["output"]) == 2**20
            with within(20):
                await server.line(lambda line: "SIGKILL" in str(line["fields"]), after=seen)
