"""Which line is named when the event loop stands still; and real workers whose loop does."""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Done, WorkerLog
from tests.worker.driver import DEADLINE, worker
from worker.engines.loop_watch import LoopWatch, blocking_place

if TYPE_CHECKING:
    from types import FrameType

    from tests.worker.event_loops import LoopWorker

WORKER = Path(__file__).parents[2] / "worker"
STANDARD = sysconfig.get_path("stdlib")
PACKAGES = sysconfig.get_path("purelib")


def stack(*files: str) -> FrameType:
    """The innermost frame of functions in these files, each of which has called the next one."""
    found: list[FrameType] = []

    def innermost() -> None:
        found.append(sys._getframe(1))

    call = innermost
    for file in reversed(files):
        namespace = {"call": call}
        exec(compile("def function():\n    call()", file, "exec"), namespace)
        call = namespace["function"]
    call()
    return found[0]


@pytest.mark.parametrize(
    ("files", "place"),
    [
        (["/model/predict.py"], "/model/predict.py:2 (function)"),
        (["/model/predict.py", "/model/other.py"], "/model/other.py:2 (function)"),
        (
            ["/model/predict.py", f"{PACKAGES}/requests/api.py", f"{STANDARD}/ssl.py"],
            f"/model/predict.py:2 (function), in {STANDARD}/ssl.py:2 (function)",
        ),
        (["/model/predict.py", f"{WORKER}/channel.py"], None),
        (["/model/predict.py", f"{WORKER}/outputs.py", f"{STANDARD}/base64.py"], None),
        ([f"{WORKER}/engines/trio_loop.py", f"{PACKAGES}/trio/_run.py"], None),
        ([f"{WORKER}/engines/asyncio_loop.py", f"{STANDARD}/selectors.py"], None),
    ],
)
def test_the_place(files: list[str], place: str | None) -> None:
    assert blocking_place(stack(*files)) == place


def test_what_was_asked_is_not_asked_again_by_who_looks_later() -> None:
    """Or the loop would owe an answer for less time than a moment before."""
    asked: list[object] = []
    told = threading.Event()
    watch = LoopWatch(asked.append, 0.2, lambda _: told.set(), "")
    watch.start()
    # The watch waits for a prediction; or it has not even begun, and then this shows nothing.
    threading.Event().wait(0.1)
    watch.idle()
    watch.began()
    assert told.wait(DEADLINE)  # it has looked
    watch.stop()
    assert len(asked) == 1


def warnings(messages: list[object]) -> list[str]:
    return [each.message for each in messages if isinstance(each, WorkerLog)]


BLOCKING = """
import subprocess
class Predictor:
    async def predict(self, go: str) -> str:
        print("blocking")
        return read(go)
def read(go):
    return subprocess.run(["cat", go], capture_output=True, text=True).stdout
"""


def test_one_warning_names_what_blocks_the_loop(tmp_path: Path, loop_worker: LoopWorker) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    # Long, for what is not meant to block the loop is slow where the machine is busy.
    with loop_worker(BLOCKING, slots=2, options={"block_warning": 1.0}) as driver:
        driver.wait_ready()
        for number in range(2):
            driver.start(f"p{number}", go=str(fifo))
            driver.wait_for_log("blocking")
            (text,) = warnings(driver.control.until(WorkerLog))
            (line,) = (
                number
                for number, code in enumerate((tmp_path / "predict.py").read_text().split("\n"), 1)
                if "subprocess.run" in code
            )
            assert text.startswith(
                f"the event loop has not turned for 1 s because of predict.py:{line} (read), in "
            )
            assert "await it" in text
            assert "to_thread" in text
            assert driver.healthcheck(f"ping_{number}").loop_idle > 0.1
            fifo.write_text("done")
            assert driver.result().outputs == ["done"]
            assert warnings(driver.wait_idle()) == []
        assert warnings(driver.shutdown()) == []


def test_no_warning_if_it_is_not_wanted(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, BLOCKING, options={"block_warning": 0.0}) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("blocking")
        number = 0
        while (driver.healthcheck(f"ping_{number}").loop_idle or 0.0) < 0.3:
            number += 1
        fifo.write_text("done")
        assert driver.result().outputs == ["done"]
        assert warnings(driver.shutdown()) == []


def test_no_warning_when_the_whole_process_was_stopped(tmp_path: Path) -> None:
    model = """
    import asyncio
    class Predictor:
        def setup(self):
            self.ended = False
        async def predict(self, end: bool = False) -> None:
            print("begun")
            self.ended = end
            while not self.ended:
                sum(range(10_000))
                await asyncio.sleep(0)
    """
    clock = threading.Event()
    with worker(tmp_path, model, slots=2, options={"block_warning": 0.8}) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        for _ in range(3):
            os.kill(driver.process.pid, signal.SIGSTOP)
            clock.wait(1.1)
            os.kill(driver.process.pid, signal.SIGCONT)
            driver.healthcheck()
        assert isinstance(driver.predict("p2", slot=1, end=True).end, Done)
        assert warnings(driver.control.history) == []
        assert warnings(driver.shutdown()) == []
