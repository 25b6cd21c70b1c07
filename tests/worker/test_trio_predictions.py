"""Real workers with models written for Trio, over the wire."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Cancelled, Failed, HealthStatus, WorkerLog
from tests.worker.driver import DEADLINE, worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.event_loops import LoopWorker


def test_it_is_trio_for_libraries_too(trio_worker: LoopWorker) -> None:
    model = """
    import sniffio
    class Predictor:
        def setup(self):
            self.token = trio.lowlevel.current_trio_token()
        async def healthcheck(self):
            await sleep(0)
            return self.token is trio.lowlevel.current_trio_token()
        async def predict(self) -> str:
            assert threading.current_thread() is threading.main_thread()
            return sniffio.current_async_library()
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["trio"]
        assert driver.healthcheck().status is HealthStatus.HEALTHY
        driver.shutdown()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return False", "Healthcheck failed: user-defined healthcheck returned False"),
        ("sys.exit(2)", "Healthcheck failed: SystemExit: 2"),
        ("raise TimeoutError('no database')", "Healthcheck failed: TimeoutError: no database"),
        ("raise trio.TooSlowError", "Healthcheck failed: TooSlowError"),
        ("await sleep(600)", "Healthcheck failed: user-defined healthcheck timed out after 5.0 s"),
    ],
)
def test_healthchecks(trio_worker: LoopWorker, body: str, error: str) -> None:
    model = f"""
    class Predictor:
        async def healthcheck(self):
            {body}
        async def predict(self):
            return 1
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        assert (driver.healthcheck().error or "").startswith(error)
        assert driver.predict().outputs == [1]


def test_inputs_that_are_files(trio_worker: LoopWorker) -> None:
    model = """
    import pathlib
    class Predictor:
        async def predict(self, file: pathlib.Path) -> str:
            return file.read_text()
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        assert driver.predict(file="data:text/plain,hello").outputs == ["hello"]


def test_logs_follow_nurseries_and_threads(trio_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def predict(self, name: str) -> str:
            async def child():
                print(name, "task")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
            await to_thread(print, name, "thread")
            return name
    """
    with trio_worker(model, slots=2) as driver:
        driver.wait_ready()
        assert driver.predict(name="A").logs == "A task\nA thread\n"
        assert driver.predict(slot=1, name="B").logs == "B task\nB thread\n"


@pytest.mark.parametrize("raised", ["ValueError('boom')", "SystemExit(3)", "KeyboardInterrupt()"])
def test_what_a_nursery_raises_fails_the_prediction_alone(
    trio_worker: LoopWorker, raised: str
) -> None:
    model = f"""
    class Predictor:
        async def predict(self, fail: bool = False) -> str:
            async def child():
                raise {raised}
            if fail:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(child)
                    await trio.sleep_forever()
            return "fine"
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        assert isinstance(driver.predict(fail=True).end, Failed)
        assert driver.predict("p2").outputs == ["fine"]
        driver.shutdown()


CLEANING_UP = """
class Predictor:
    async def predict(self, shield: bool) -> str:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                print("begun")
        finally:
            with trio.CancelScope(shield=shield):
                await sleep(0.01 if shield else 600)
                print("cleaned up")
        return "not reached"
"""


@pytest.mark.parametrize(("shield", "logs"), [(True, "cleaned up\n"), (False, "")])
def test_clean_up_that_waits_has_to_shield_itself(
    trio_worker: LoopWorker, shield: bool, logs: str
) -> None:
    with trio_worker(CLEANING_UP) as driver:
        driver.wait_ready()
        driver.start(shield=shield)
        driver.wait_for_log("begun")
        for _ in range(3):
            driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == logs
        driver.wait_idle()


def test_a_stop_cancels_at_the_end_of_its_grace(trio_worker: LoopWorker) -> None:
    with trio_worker(CLEANING_UP, slots=2) as driver:
        driver.wait_ready()
        driver.start(shield=True)
        driver.wait_for_log("begun")
        driver.shutdown(grace=0.1)
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == "cleaned up\n"


def test_sigint_interrupts_nothing(trio_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def predict(self, wait: bool = False) -> str:
            print("begun")
            if wait:
                self.event = Event()
                await self.event.wait()
            elif hasattr(self, "event"):
                self.event.set()
            return "fine"
    """
    with trio_worker(model, slots=2) as driver:
        driver.wait_ready()
        driver.start(wait=True)
        driver.wait_for_log("begun")
        os.kill(driver.process.pid, signal.SIGINT)
        assert driver.predict("p2", slot=1).outputs == ["fine"]
        assert driver.result().outputs == ["fine"]


@pytest.mark.parametrize("keyword", ["", "async "])
def test_a_setup_that_raises_shows_the_frames_of_the_model_alone(
    trio_worker: LoopWorker, keyword: str
) -> None:
    model = f"""
    class Predictor:
        {keyword}def setup(self):
            raise RuntimeError("no weights")
        async def predict(self):
            return 1
    """
    with trio_worker(model) as driver:
        assert driver.setup_failure().endswith("RuntimeError: no weights")
        first, second, *_ = driver.setup_log.splitlines()
        assert first == "Traceback (most recent call last):"
        assert "predict.py" in second


def test_a_stop_ends_set_up(trio_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def setup(self):
            try:
                print("setting up", flush=True)
                await trio.sleep_forever()
            finally:
                print("closed")
        async def predict(self):
            return 1
    """
    with trio_worker(model) as driver:
        said = ""
        while "setting up" not in said:
            said += getattr(driver.control.next(), "data", "")
        driver.shutdown()
        assert "closed\n" in driver.worker_log


def test_background_tasks_of_the_model(trio_worker: LoopWorker) -> None:
    """A nursery that set-up has opened lives as long as the predictions."""
    model = """
    class Predictor:
        async def setup(self):
            self.opened = trio.open_nursery()
            nursery = await self.opened.__aenter__()
            self.send, self.receive = trio.open_memory_channel(0)
            nursery.start_soon(self.work)
        async def work(self):
            try:
                async for text, answer in self.receive:
                    answer.append(text.upper())
            finally:
                print("worked")
        async def predict(self, text: str) -> str:
            answer = []
            await self.send.send((text, answer))
            await sleep(0.01)
            return answer[0]
    """
    with trio_worker(model, slots=2) as driver:
        driver.wait_ready()
        assert driver.predict(text="hello").outputs == ["HELLO"]
        driver.cancel(None)
        assert driver.predict("p2", slot=1, text="again").outputs == ["AGAIN"]
        messages = driver.shutdown()
        (warning,) = (each.message for each in messages if isinstance(each, WorkerLog))
        assert "left a nursery open" in warning
        assert "worked\n" in driver.worker_log


@pytest.mark.parametrize("loop", ["trio", "uvloop"])
def test_a_loop_that_is_not_installed(tmp_path: Path, loop: str) -> None:
    (tmp_path / f"{loop}.py").write_text(f"raise ModuleNotFoundError({loop!r})")
    model = """
    class Predictor:
        async def predict(self):
            return 1
    """
    with worker(tmp_path, model, options={"event_loop": loop}) as driver:
        failure = driver.setup_failure()
        assert failure.endswith(
            f"--event-loop {loop} needs {loop} in the model's environment: pip install {loop}"
        )


def test_the_interpreter_ends_when_the_supervisor_is_gone(trio_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def predict(self):
            print("begun")
            await trio.sleep_forever()
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        ended = threading.Event()
        threading.Thread(
            target=lambda: (driver.process.wait(DEADLINE), ended.set()), daemon=True
        ).start()
        assert driver.result().end == Cancelled("p1")
        assert ended.wait(DEADLINE)


@pytest.mark.parametrize(
    ("errors", "error"),
    [
        ("[ValueError('boom')]", "ValueError: boom"),
        ("[ExceptionGroup('inner', [KeyError('k')])]", "KeyError: 'k'"),
        ("[ValueError('a'), TypeError('b')]", "ExceptionGroup: outer (2 sub-exceptions)"),
    ],
)
def test_a_group_of_one_is_told_as_the_one(
    trio_worker: LoopWorker, errors: str, error: str
) -> None:
    model = f"""
    class Predictor:
        async def predict(self):
            raise ExceptionGroup("outer", {errors})
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.end == Failed("p1", error)
        assert "ExceptionGroup: outer" in result.logs


def test_what_one_task_of_a_nursery_raises_is_the_error(trio_worker: LoopWorker) -> None:
    model = """
    async def fail():
        raise ValueError("boom")
    class Predictor:
        async def predict(self):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail)
                nursery.start_soon(trio.sleep_forever)
    """
    with trio_worker(model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.end == Failed("p1", "ValueError: boom")
        assert "ExceptionGroup" in result.logs
        assert "in fail" in result.logs
