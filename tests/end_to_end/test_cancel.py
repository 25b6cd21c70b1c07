"""Cancel: at once, and never the wrong prediction."""

from __future__ import annotations

import random
from functools import partial

import trio

from tests.end_to_end.server import PATIENT, Server, serving, within


async def test_a_sleeping_prediction_is_canceled_at_once_and_its_slot_is_usable() -> None:
    # Patient: its worker is not ended, and replaced, for being slow.
    async with serving("sleeper.py:Predictor", *PATIENT) as server:
        async with trio.open_nursery() as nursery:
            answered = trio.Event()
            answers = []

            async def ask() -> None:
                answers.append(await server.predict(id="long", seconds=60, name="long"))
                answered.set()

            nursery.start_soon(ask)
            with within(20):
                await server.said("sleeping long")
            with within(10):
                assert await server.cancel("long") == 200
                await answered.wait()
        assert answers[0]["status"] == "canceled"
        assert "sleeping long" in answers[0]["logs"]
        with within(10):
            assert await server.output(seconds=0, name="next") == "next"
        assert await server.cancel("long") == 404


async def test_a_client_that_leaves_cancels_its_prediction() -> None:
    async with serving("sleeper.py:Predictor", "--queue", "1") as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(server.predict, seconds=30, name="left"))
            with within(20):
                await server.said("sleeping left")
            nursery.cancel_scope.cancel()
        # There is one slot, so this one waits until the sleep has been interrupted.
        with within(10):
            assert await server.output(seconds=0, name="next") == "next"


async def test_a_thousand_cancels_around_the_end_never_hit_a_later_prediction() -> None:
    chance = random.Random(0)
    outcomes: dict[str, int] = {"succeeded": 0, "canceled": 0}
    async with serving("sleeper.py:Predictor", "--queue", "1") as server:
        with within(120):
            for number in range(1000):
                status = await _predict_and_cancel(server, f"p{number}", chance.uniform(0, 0.012))
                outcomes[status] += 1
                after = await server.predict(id=f"after{number}", seconds=0.001, name="after")
                assert (after["status"], after.get("output")) == ("succeeded", "after"), number
    # Both happened, so the moments were around the end.
    assert min(outcomes.values()) >= 1, outcomes


async def _predict_and_cancel(server: Server, id: str, delay: float) -> str:
    """One prediction, with a cancel sent after `delay` seconds; its state."""
    answer: dict = {}

    async def ask() -> None:
        answer.update(await server.predict(id=id, seconds=0.002, name=id))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.sleep(delay)
        assert await server.cancel(id) in (200, 404)
    if answer["status"] == "succeeded":
        assert answer["output"] == id
    else:
        assert answer["status"] == "canceled", answer
    return answer["status"]
