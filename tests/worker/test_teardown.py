"""`teardown()` of the model: when it is called, and when not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from protocol.framing import encode_frame
from protocol.messages import Cancelled, Done, Log, Ready, Shutdown, WorkerLog
from tests.worker.driver import DEADLINE, Driver, worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.worker.event_loops import LoopWorker

MODEL = """
import asyncio, atexit, contextvars, os, sys, threading, time
atexit.register(print, "at exit")
variable = contextvars.ContextVar("variable")
class Predictor:
    def setup(self):
        variable.set("set up")
        {setup}
    {predict} predict(self, block: bool = False):
        variable.set("changed")
        if block:
            print("begun")
            {block}
        return "ok"
    {teardown} teardown(self):
        print("tearing down,", variable.get(), threading.current_thread().name)
        {statement}
"""


def torn_down(
    folder: Path, *, predict: str = "def", teardown: str = "def", **more: Any
) -> AbstractContextManager[Driver]:
    model = MODEL.replace("{predict}", predict).replace("{teardown}", teardown)
    block = "while True: pass" if predict == "def" else "await asyncio.sleep(600)"
    for name, default in (("setup", "pass"), ("statement", "pass"), ("block", block)):
        model = model.replace(f"{{{name}}}", more.pop(name, default))
    return worker(folder, model, options={"concurrency": "threads"}, **more)


def said(messages: list[Any]) -> str:
    return "".join(message.data for message in messages if isinstance(message, Log))


LAST = "tearing down, set up MainThread\nat exit\n"


@pytest.mark.parametrize("teardown", ["def", "async def"])
@pytest.mark.parametrize(
    ("predict", "slots"),
    [("def", 1), ("def", 2), ("async def", 2)],
    ids=["sync", "threads", "async"],
)
def test_it_runs_after_the_last_prediction_and_before_exit_handlers(
    tmp_path: Path, predict: str, slots: int, teardown: str
) -> None:
    with torn_down(tmp_path, predict=predict, teardown=teardown, slots=slots) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["ok"]
        driver.start("p2", block=True)
        driver.wait_for_log("begun")
        driver.send(Shutdown(0.1))
        result = driver.result()
        assert result.end == Cancelled("p2")
        assert result.logs == ""
        assert said(driver.control.rest()) == LAST
        assert driver.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("predict", ["def", "async def"])
def test_an_async_teardown_may_wait_for_the_models_own_tasks(tmp_path: Path, predict: str) -> None:
    model = f"""
    import asyncio
    class Predictor:
        async def setup(self):
            self.stop = asyncio.Event()
            self.task = asyncio.create_task(self.background())
        async def background(self):
            await self.stop.wait()
            print("flushed")
        {predict} predict(self):
            return "ok"
        async def teardown(self):
            self.stop.set()
            await self.task
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict()
        driver.shutdown()
        assert driver.worker_log == "flushed\n"


@pytest.mark.parametrize("predict", ["def", "async def"])
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("sys.exit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
@pytest.mark.parametrize("teardown", ["def", "async def"])
def test_its_failure_is_logged(
    tmp_path: Path, predict: str, teardown: str, statement: str, error: str
) -> None:
    with torn_down(tmp_path, predict=predict, teardown=teardown, statement=statement) as driver:
        driver.wait_ready()
        messages = driver.shutdown()  # with exit code 0
        assert "in teardown\n" in said(messages)
        assert "worker/" not in said(messages)
        assert said(messages).endswith("at exit\n")
        (line,) = [each for each in messages if isinstance(each, WorkerLog)]
        assert line.level == "error"
        assert line.message == f"the model's teardown() failed: {error}"


def test_not_when_set_up_has_failed(tmp_path: Path) -> None:
    with torn_down(tmp_path, setup="raise ValueError") as driver:
        assert said(driver.control.rest()).endswith("ValueError\nat exit\n")
        assert driver.process.wait(DEADLINE) == 0


def test_not_when_set_up_was_interrupted(tmp_path: Path) -> None:
    with torn_down(tmp_path, setup="print('blocking'); time.sleep(600)") as driver:
        assert driver.control.next().data == "blocking\n"
        assert "tearing down" not in said(driver.shutdown())


def test_when_set_up_has_gone_on_to_its_end(tmp_path: Path) -> None:
    setup = """
        try:
            print("blocking")
            time.sleep(600)
        except BaseException:
            pass
"""
    with torn_down(tmp_path, setup=setup) as driver:
        assert driver.control.next().data == "blocking\n"
        messages = driver.shutdown()
        assert said(messages) == LAST
        assert not [each for each in messages if isinstance(each, Ready)]


@pytest.mark.parametrize("predict", ["def", "async def"])
def test_when_no_slot_is_left(tmp_path: Path, predict: str) -> None:
    with torn_down(tmp_path, predict=predict) as driver:
        driver.wait_ready()
        driver.sockets[0].sendall(encode_frame(b"{}"))
        assert said(driver.control.rest()) == LAST
        assert driver.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("predict", ["def", "async def"])
def test_when_the_supervisor_is_gone(tmp_path: Path, predict: str) -> None:
    statement = "open('torn down', 'w').close()"
    with torn_down(tmp_path, predict=predict, statement=statement) as driver:
        driver.wait_ready()
        driver.start(block=True)
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(DEADLINE) == 0
        assert (tmp_path / "torn down").exists()


def test_a_second_shutdown_does_not_disturb_it(tmp_path: Path, loop_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def predict(self):
            return "ok"
        async def teardown(self):
            print("tearing down")
            await to_thread(open("go").read)
            await sleep(0)    # here at the latest a cancel is raised
            print("done")
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model) as driver:
        driver.wait_ready()
        driver.send(Shutdown(10.0))
        driver.control.until(Log)
        driver.send(Shutdown(10.0))
        driver.healthcheck("ping_1")
        fifo.write_text("")
        assert said(driver.control.rest()) == "done\n"


def test_a_shutdown_that_set_up_has_swallowed_does_not_disturb_it(loop_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        def setup(self):
            try:
                print("blocking")
                time.sleep(600)
            except BaseException:
                pass
        async def predict(self):
            return "ok"
        async def teardown(self):
            await sleep(0)
            print("done")
    """
    with loop_worker(model) as driver:
        assert driver.control.next().data == "blocking\n"
        assert said(driver.shutdown()) == "done\n"


def test_a_function_has_none(tmp_path: Path) -> None:
    model = """
    def run():
        return "ok"
    run.teardown = lambda: print("never")
    """
    with worker(tmp_path, model, ref="predict.py:run") as driver:
        driver.wait_ready()
        assert isinstance(driver.predict().end, Done)
        assert said(driver.shutdown()) == ""
