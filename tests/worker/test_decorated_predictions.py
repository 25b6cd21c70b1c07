"""Async functions behind plain ones, in real workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.messages import Done
from tests.worker.driver import worker

if TYPE_CHECKING:
    from pathlib import Path

DECORATORS = """
    import asyncio, functools

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            print("called")
            return function(*args, **kwargs)
        return wrapper

    def run_to_its_end(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return asyncio.run(function(*args, **kwargs))
        return wrapper
    """


def test_the_coroutine_that_a_decorator_hands_on_runs_on_the_loop(tmp_path: Path) -> None:
    model = f"""{DECORATORS}
    class Predictor:
        waiting = None
        @logged
        async def predict(self, text: str) -> str:
            # Two that meet: each ends only if the other runs at the same time.
            if self.waiting is None:
                self.waiting = asyncio.get_running_loop().create_future()
                return text + await self.waiting
            self.waiting.set_result(text)
            return text
    """
    with worker(tmp_path, model, slots=2) as driver:
        driver.wait_ready()
        driver.start("p1", 0, text="a")
        driver.wait_for_log("called", 0)
        driver.start("p2", 1, text="b")
        results = [driver.result(0), driver.result(1)]
    assert [result.outputs for result in results] == [["ab"], ["b"]]


def test_the_async_generator_that_a_decorator_hands_on_is_streamed(tmp_path: Path) -> None:
    model = f"""{DECORATORS}
    class Predictor:
        @logged
        async def predict(self, n: int):
            for i in range(n):
                yield i
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict(n=3)
    assert result.outputs == [0, 1, 2]
    assert isinstance(result.end, Done)
    assert result.end.is_stream


def test_a_decorator_that_runs_the_coroutine_itself_still_can(tmp_path: Path) -> None:
    model = f"""{DECORATORS}
    class Predictor:
        @run_to_its_end
        async def predict(self, text: str) -> str:
            await asyncio.sleep(0)
            return text
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict(text="a").outputs == ["a"]
