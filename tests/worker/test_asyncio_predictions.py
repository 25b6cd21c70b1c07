"""Real workers with models that only asyncio runs, on its own loop and on uvloop's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Cancelled, Failed, OutputChunk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.event_loops import LoopWorker

CANCELLABLE = """
class Predictor:
    async def predict(self, how: str = "await"):
        print("begun")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            if how == "cleanup":
                await asyncio.sleep(0.05)
                print("cleaned up")
                raise
            print("no")
            await asyncio.sleep(600)
"""


def test_setup_may_be_sync_and_may_use_loops(asyncio_worker: LoopWorker) -> None:
    model = """
class Predictor:
    def setup(self):
        self.value = asyncio.run(asyncio.sleep(0, "from setup"))
    async def predict(self) -> str:
        return self.value
"""
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["from setup"]


def test_a_big_answer_waits_until_it_is_read(asyncio_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self):
        return ["x" * 5_000_000, "y"]
"""
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        for number in range(2):
            assert driver.predict(f"p{number}").outputs == ["x" * 5_000_000, "y"]


def test_exit_in_a_background_task_does_not_stop_the_loop(asyncio_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self, how: str) -> str:
        async def quits():
            sys.exit(5)
        task = asyncio.create_task(quits())
        if how == "await":
            await task
        await asyncio.sleep(0.01)
        return "fine"
"""
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        end = driver.predict(how="await").end
        assert end == Failed("p1", "SystemExit: 5")
        assert driver.predict("p2", how="leave").outputs == ["fine"]
        driver.shutdown()


def test_logs_follow_the_context(asyncio_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self, name: str) -> str:
        async def child():
            print(name, "task")
        await asyncio.create_task(child())
        await asyncio.to_thread(print, name, "executor")
        thread = threading.Thread(target=print, args=(name, "thread"))
        thread.start()
        thread.join()
        os.write(1, f"{name} raw\\n".encode())
        print(name, "partial", end="")
        return name
"""
    with asyncio_worker(model, slots=2) as driver:
        driver.wait_ready()
        for slot, name in enumerate("AB"):
            logs = f"{name} task\n{name} executor\n{name} thread\n{name} partial"
            assert driver.predict(slot=slot, name=name).logs == logs
        driver.shutdown()
        assert "B raw\n" in driver.worker_log


@pytest.mark.parametrize("slots", [1, 2])
def test_what_python_says_of_a_task_is_not_its_collectors(
    asyncio_worker: LoopWorker, slots: int
) -> None:
    """It says so when the task is collected: in the middle of whatever runs then."""
    model = """
import gc
class Predictor:
    async def fail(self, name):
        raise ValueError(f"of {name}")
    async def predict(self, name: str) -> str:
        self.left = None
        gc.collect()
        self.own = asyncio.create_task(self.fail(f"{name}, its own"))
        self.left = asyncio.create_task(self.fail(f"{name}, left"))
        asyncio.get_running_loop().call_soon(self.fail, name, "too many")
        await asyncio.sleep(0.01)
        self.own = None
        gc.collect()
        return name
"""
    with asyncio_worker(model, slots=slots) as driver:
        driver.wait_ready()
        for slot, name in enumerate("AB"):
            logs = driver.predict(name, slot=slot % slots, name=name).logs
            assert logs.count("Task exception was never retrieved") == 1
            assert logs.count(f"ValueError: of {name}, its own") == 1
            assert "TypeError" in logs
            assert "left" not in logs
        driver.shutdown()
        assert driver.worker_log.count("ValueError: of A, left") == 1


def test_what_a_task_says_after_the_end_is_nobodys(
    tmp_path: Path, asyncio_worker: LoopWorker
) -> None:
    model = """
class Predictor:
    async def predict(self, go: str = "") -> str:
        async def later():
            await asyncio.to_thread(lambda: open(go).read())
            print("too late")
            current_scope().record_metric("late", 1)
            self.said.set()
        if go:
            self.said = asyncio.Event()
            self.task = asyncio.create_task(later())
        else:
            print("second")
            await self.said.wait()
        return "ok"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        driver.predict(go=str(fifo))
        driver.start("p2")
        driver.wait_for_log("second")
        fifo.write_text("go")
        result = driver.result()
        assert result.messages[:-1] == [OutputChunk("ok", 0)]
        driver.wait_idle()
        assert "too late\n" in driver.worker_log


def test_a_second_cancel_comes_only_at_the_end_of_the_grace(asyncio_worker: LoopWorker) -> None:
    with asyncio_worker(CANCELLABLE, options={"cancel_grace": 0.2}) as driver:
        driver.wait_ready()
        driver.start(how="stubborn")
        driver.wait_for_log("begun")
        for _ in range(3):
            driver.cancel()
        result = driver.result()
        assert result.logs == "no\n"
        assert result.end == Cancelled("p1")


def test_repeated_cancels_do_not_disturb_the_clean_up(asyncio_worker: LoopWorker) -> None:
    with asyncio_worker(CANCELLABLE) as driver:
        driver.wait_ready()
        driver.start(how="cleanup")
        driver.wait_for_log("begun")
        for _ in range(5):
            driver.cancel()
        result = driver.result()
        assert result.logs == "cleaned up\n"
        assert result.end == Cancelled("p1")


def test_a_cancelled_error_of_the_models_own_is_a_failure(asyncio_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self):
        raise asyncio.CancelledError
"""
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        end = driver.predict().end
        assert end == Failed("p1", "CancelledError")


def test_a_prediction_that_the_model_cancels_before_its_first_step_ends(
    asyncio_worker: LoopWorker,
) -> None:
    model = """
class Predictor:
    async def predict(self, name: str) -> str:
        print("begun")
        if name != "neighbour":
            return name
        while True:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
"""
    with asyncio_worker(model, slots=2) as driver:
        driver.wait_ready()
        driver.start("p1", slot=0, name="neighbour")
        driver.wait_for_log("begun", slot=0)
        for number in range(2, 4):
            driver.start(f"p{number}", slot=1, name="other")
            result = driver.result(1)
            assert result.end == Failed(f"p{number}", "CancelledError")
            assert "begun" not in result.logs
            driver.wait_idle(1)
        driver.cancel("p1", slot=0)
        assert driver.result(0).end == Cancelled("p1")
        driver.wait_idle(0)
        assert driver.predict("p4", slot=1, name="fine").outputs == ["fine"]
        driver.shutdown()


def test_a_task_factory_that_begins_at_once_leaves_no_slot_busy(
    asyncio_worker: LoopWorker,
) -> None:
    model = """
def eager(loop, coroutine, **more):
    # What `asyncio.eager_task_factory` of Python 3.12 does, if nothing is awaited.
    try:
        coroutine.send(None)
    except StopIteration as stop:
        future = loop.create_future()
        future.set_result(stop.value)
        return future
    raise AssertionError("it waits")
class Predictor:
    async def setup(self):
        asyncio.get_running_loop().set_task_factory(
            getattr(asyncio, "eager_task_factory", eager)
        )
    async def predict(self, number: int) -> int:
        return number
"""
    with asyncio_worker(model) as driver:
        driver.wait_ready()
        for number in range(3):
            assert driver.predict(f"p{number}", number=number).outputs == [number]
        driver.shutdown()
