"""Whose prediction a thread, an executor's work or a healthcheck belongs to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from protocol.messages import HealthStatus, Idle, Log, Metric, MetricMode
from tests.worker.driver import worker

if TYPE_CHECKING:
    from pathlib import Path

SEVERAL = """
import asyncio, concurrent.futures, threading
import coglet

pool = concurrent.futures.ThreadPoolExecutor(1)
together = asyncio.Barrier(2)

def work(name, how):
    print(f"{name} in {how}")
    coglet._sdk.current_scope().record_metric(how, name)
    return name

class Predictor:
    def setup(self):
        pool.submit(print, "setting up").result()

    async def predict(self, name: str) -> str:
        await together.wait()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=work, args=(name, "thread"))
        thread.start()
        await loop.run_in_executor(None, work, name, "executor")
        await loop.run_in_executor(pool, work, name, "shared")
        await asyncio.to_thread(work, name, "to_thread")
        thread.join()
        await together.wait()
        return name
"""


def test_threads_and_executors_belong_to_the_prediction_that_uses_them(tmp_path: Path) -> None:
    with worker(tmp_path, SEVERAL, slots=2) as driver:
        driver.wait_ready()
        assert driver.setup_log == "setting up\n"
        for round_ in range(3):
            for slot, name in enumerate("ab"):
                driver.start(f"{name}{round_}", slot, name=name)
            for slot, name in enumerate("ab"):
                result = driver.result(slot)
                hows = ["executor", "shared", "thread", "to_thread"]
                assert sorted(result.logs.splitlines()) == [f"{name} in {how}" for how in hows]
                recorded = sorted((metric.name, metric.value) for metric in result.metrics)
                assert recorded == [(how, name) for how in hows]
            driver.control.until(Idle)
            driver.control.until(Idle)
        assert "in" not in driver.worker_log.replace("setting up", "")


def test_a_thread_that_outlives_its_prediction_writes_into_no_other(tmp_path: Path) -> None:
    model = """
    import threading
    class Predictor:
        def predict(self, first: str = "", go: str = ""):
            if first:
                def late():
                    open(first).read()
                    print("late from the first")
                threading.Thread(target=late).start()
            else:
                print("second begins")
                open(go).read()
    """
    for name in ("first", "go"):
        os.mkfifo(tmp_path / name)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict("p1", first=str(tmp_path / "first"))
        driver.start("p2", go=str(tmp_path / "go"))
        driver.wait_for_log("second begins")
        (tmp_path / "first").write_text("now")
        (*_, log) = driver.control.until(Log)
        assert log.data == "late from the first\n"
        (tmp_path / "go").write_text("now")
        assert driver.result().logs == ""


def test_a_healthcheck_is_of_no_prediction(tmp_path: Path) -> None:
    model = """
    import coglet
    class Predictor:
        def predict(self, go: str):
            print("running")
            open(go).read()
            coglet._sdk.current_scope().record_metric("mine", 1)
        def healthcheck(self) -> bool:
            coglet._sdk.current_scope().record_metric("from_healthcheck", 1)
            print("checking")
            return True
    """
    os.mkfifo(tmp_path / "go")
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(go=str(tmp_path / "go"))
        driver.wait_for_log("running")
        assert driver.healthcheck().status is HealthStatus.HEALTHY
        (tmp_path / "go").write_text("now")
        result = driver.result()
        assert result.metrics == [Metric("mine", 1, MetricMode.REPLACE)]
        assert result.logs == ""
        assert "checking\n" in driver.worker_log
