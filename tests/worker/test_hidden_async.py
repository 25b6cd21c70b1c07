"""Sync predictors whose function leaves something to be awaited: nobody could tell beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from protocol.messages import Cancelled, Done, Failed, Metric, MetricMode
from tests.worker.driver import Driver, worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

PREAMBLE = """
import asyncio, contextvars, functools, time
from coglet._sdk import current_scope
def hidden(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    del wrapper.__wrapped__
    return wrapper
"""


@pytest.fixture(params=["main thread", "threads"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Runs a model on either sync engine."""

    def run(model: str, **options: Any) -> AbstractContextManager[Driver]:
        slots = 1 if request.param == "main thread" else 2
        options["concurrency"] = "threads"
        return worker(tmp_path, PREAMBLE + model, slots=slots, options=options)

    return run


def test_a_coroutine_is_awaited(run: Any) -> None:
    model = """
class Predictor:
    async def setup(self):
        self.loop = asyncio.get_running_loop()
    @hidden
    async def predict(self, fail: bool = False):
        print("begun")
        task = asyncio.create_task(asyncio.sleep(0.01, "slept"))
        current_scope().record_metric("m", 1)
        if fail:
            raise SystemExit(3)
        return await task
"""
    with run(model) as driver:
        driver.wait_ready()
        for number in range(2):
            result = driver.predict(f"p{number}")
            assert result.outputs == ["slept"]
            assert result.logs == "begun\n"
            assert result.metrics == [Metric("m", 1, MetricMode.REPLACE)]
            assert not result.end.is_stream
        end = driver.predict("p2", fail=True).end
        assert end == Failed("p2", "SystemExit: 3")
        assert driver.predict("p3").outputs == ["slept"]
        driver.shutdown()


def test_the_loop_of_set_up_is_that_of_the_predictions(tmp_path: Path) -> None:
    model = """
class Predictor:
    async def setup(self):
        self.ticks = 0
        self.task = asyncio.create_task(self.tick())
        variable.set("from set-up")
    async def tick(self):
        try:
            while True:
                await asyncio.sleep(0)
                self.ticks += 1
        finally:
            print("ticked")
    @hidden
    async def predict(self):
        before = self.ticks
        await asyncio.sleep(0.01)
        return variable.get() if self.ticks > before else "stands still"
variable = contextvars.ContextVar("variable")
"""
    with worker(tmp_path, PREAMBLE + model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["from set-up"]
        driver.shutdown()
        assert driver.worker_log == "ticked\n"


@pytest.mark.parametrize(
    "function",
    [
        "def predict(self, swallow: bool = False): return self.items(swallow)",
        "@hidden\n    async def predict(self, swallow: bool = False): return self.items(swallow)",
    ],
    ids=["returned", "returned from a coroutine"],
)
def test_an_async_generator_is_streamed(run: Any, function: str) -> None:
    model = f"""
class Predictor:
    {function}
    async def items(self, swallow):
        variable.set("first")
        try:
            print("waiting")
            yield variable.get()
            await asyncio.sleep(600 if swallow else 0)
            yield "second"
        except asyncio.CancelledError:
            print("cancelled")
            while True:
                yield "more"
        finally:
            await asyncio.sleep(0)
            print("closed")
variable = contextvars.ContextVar("variable")
"""
    with run(model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == ["first", "second"]
        assert result.logs == "waiting\nclosed\n"
        assert result.end.is_stream
        driver.start("p2", swallow=True)
        driver.wait_for_log("waiting")
        driver.cancel("p2")
        result = driver.result()
        assert result.end == Cancelled("p2")
        assert result.logs in ("cancelled\nclosed\n", "closed\n")
        driver.wait_idle()
        assert isinstance(driver.predict("p3").end, Done)


def test_a_sync_generator_from_a_coroutine_is_streamed(run: Any) -> None:
    model = """
class Predictor:
    @hidden
    async def predict(self):
        return (number for number in range(3))
"""
    with run(model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == [0, 1, 2]
        assert result.end.is_stream


def test_cancel_cancels_once_and_lets_it_clean_up(run: Any) -> None:
    model = """
class Predictor:
    @hidden
    async def predict(self, block: bool = True):
        if not block:
            return "next"
        print("begun")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.7)    # longer than sync code has between two exceptions
            print("cleaned up")
            return "finished anyway"
"""
    with run(model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.cancel()
        driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == "cleaned up\n"
        driver.wait_idle()
        assert driver.predict("p2", block=False).outputs == ["next"]


def test_it_is_cancelled_again_when_the_grace_is_over(run: Any) -> None:
    model = """
class Predictor:
    @hidden
    async def predict(self):
        print("begun")
        for _ in range(3):
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                print("no")
"""
    with run(model, cancel_grace=0.2) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == "no\n" * 3


def test_a_signal_handler_that_raises_ends_the_prediction_and_its_task(tmp_path: Path) -> None:
    # It raises once, where the loop waits: asyncio drops what is raised between it and a callback.
    model = """
import os, signal
def handler(signum, frame):
    if frame.f_code.co_name == "select":
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise TimeoutError("alarm")
class Predictor:
    def setup(self):
        signal.signal(signal.SIGALRM, handler)
    @hidden
    async def predict(self, block: bool):
        if not block:
            return "next"
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            await asyncio.sleep(600)
        finally:
            print("cleaned up")
"""
    with worker(tmp_path, PREAMBLE + model) as driver:
        driver.wait_ready()
        result = driver.predict(block=True)
        assert result.end.error.endswith("TimeoutError: alarm")
        assert result.logs.startswith("cleaned up\nTraceback")
        assert driver.predict("p2", block=False).outputs == ["next"]
