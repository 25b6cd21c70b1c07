"""Code that is stuck in C and does not come back: the worker cannot end it, but says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.messages import HealthStatus, Idle, WorkerLog
from tests.worker.driver import worker

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """
import ctypes
libc = ctypes.CDLL(None)    # calls without the GIL
class Predictor:
    {predict} predict(self, stuck: bool = True):
        if stuck:
            mutex = ctypes.create_string_buffer(64)
            libc.pthread_mutex_lock(mutex)
            while True:
                try:
                    print("stuck")
                    libc.pthread_mutex_lock(mutex)  # no signal interrupts this
                except BaseException:
                    pass    # it came before that
        return "fine"
"""


@pytest.mark.parametrize(
    ("predict", "slots"), [("def", 1), ("def", 2)], ids=["main thread", "threads"]
)
def test_stuck_in_c(tmp_path: Path, predict: str, slots: int) -> None:
    model = MODEL.replace("{predict}", predict)
    with worker(tmp_path, model, slots=slots, options={"concurrency": "threads"}) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("stuck")
        driver.cancel()
        warning = driver.control.until(WorkerLog)[-1]
        assert warning.level == "warn"
        assert warning.message.startswith("'p1' was told to stop 1 s ago and still runs: File ")
        assert "in predict: libc.pthread_mutex_lock(mutex)" in warning.message
        for number in range(3):
            assert driver.healthcheck(f"ping_{number}").status is HealthStatus.HEALTHY
        if slots == 2:
            assert driver.predict("p2", 1, stuck=False).outputs == ["fine"]
        assert Idle(driver.slot_id()) not in driver.control.history


def test_stuck_in_an_event_loop(tmp_path: Path) -> None:
    model = MODEL.replace("{predict}", "async def")
    with worker(tmp_path, model, slots=2) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("stuck")
        driver.cancel()
        idle = [driver.healthcheck("ping_1").loop_idle or 0.0]
        while idle[-1] < 1.0:  # the loop does not turn any more, and everybody can see it
            idle.append(driver.healthcheck(f"ping_{len(idle)}").loop_idle or 0.0)
        assert idle == sorted(idle)
