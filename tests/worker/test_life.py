"""The life of a worker: set-up, healthchecks, shutdown, the end of the supervisor."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import signal
import tomllib
from typing import TYPE_CHECKING

import pytest

from protocol.codec import encode_control_request
from protocol.framing import encode_frame
from protocol.messages import (
    Cancelled,
    Done,
    Failed,
    Fatal,
    Healthcheck,
    HealthcheckResult,
    HealthStatus,
    Idle,
    LogLine,
    Ready,
    Shutdown,
    ShuttingDown,
)
from tests.worker.driver import DEADLINE, LAUNCH, Ended, worker
from worker import __version__

if TYPE_CHECKING:
    from pathlib import Path

ECHO = """
class Predictor:
    def predict(self, value: int = 0):
        return value
"""

BLOCKING = {
    "def": """
import time
class Predictor:
    def predict(self):
        print("begun")
        time.sleep(600)
""",
    "async def": """
import asyncio
class Predictor:
    async def predict(self):
        print("begun")
        await asyncio.sleep(600)
""",
}
"""What predicts until it is stopped, by the kind of its function."""


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((LAUNCH.parents[1] / "pyproject.toml").read_text())
    assert __version__ == project["project"]["version"]


# --- set-up -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise RuntimeError('no weights')", "RuntimeError: no weights"),
        ("import sys; sys.exit(4)", "SystemExit: 4"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_setup_fails(tmp_path: Path, kind: str, statement: str, error: str) -> None:
    model = f"""
    import os
    class Predictor:
        {kind} setup(self):
            print("loading", end="")
            os.system("echo from a child")
            {statement}
        {kind} predict(self):
            pass
    """
    with worker(tmp_path, model) as driver:
        assert driver.setup_failure() == f"Setup failed: {error}"
        assert driver.setup_log.startswith(("loadingfrom a child", "from a child\nloading"))
        assert "in setup" in driver.setup_log  # the traceback, and of it the model's frames only
        assert "worker/" not in driver.setup_log


UNPRINTABLE = """
class Unprintable(Exception):
    def __str__(self):
        raise ValueError
raise Unprintable
"""


@pytest.mark.parametrize(
    ("model", "ref", "error"),
    [
        ("import no_such_module", "predict.py:Predictor", "ModuleNotFoundError: No module named"),
        ("def broken(:", "predict.py:Predictor", "SyntaxError: invalid syntax (predict.py, line"),
        ("raise ValueError('at import')", "predict.py:Predictor", "ValueError: at import"),
        ("x = 1", "predict.py:Predictor", "AttributeError: module 'predict' has no attribute"),
        ("x = 1", "absent.py:Predictor", "FileNotFoundError: [Errno 2] No such file or directory"),
        ("import sys; sys.exit(2)", "predict.py:Predictor", "SystemExit: 2"),
        (UNPRINTABLE, "predict.py:Predictor", "Unprintable: <ValueError in __str__>"),
    ],
)
def test_the_model_cannot_be_loaded(tmp_path: Path, model: str, ref: str, error: str) -> None:
    with worker(tmp_path, model, ref=ref) as driver:
        failure = driver.setup_failure()
        assert failure.startswith(f"Setup failed: failed to load predictor: {error}")
        assert error.partition(":")[0] in driver.setup_log


def test_several_slots_need_an_async_model(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO, slots=2) as driver:
        assert driver.setup_failure() == (
            "Setup failed: "
            "COG_MAX_CONCURRENCY > 1 requires an async run() or predict() method, or the option "
            "--concurrency threads, which runs a sync one in one thread a slot"
        )


def test_a_sync_model_with_an_async_setup(tmp_path: Path) -> None:
    model = """
    import asyncio
    class Predictor:
        async def setup(self):
            await asyncio.sleep(0)
            self.value = "from setup"
        def predict(self):
            return self.value
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["from setup"]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_shutdown_interrupts_setup(tmp_path: Path, kind: str) -> None:
    block = "time.sleep(600)" if kind == "def" else "await asyncio.sleep(600)"
    model = f"""
    import asyncio, atexit, time
    atexit.register(print, "at exit")
    class Predictor:
        {kind} setup(self):
            print("blocking")
            {block}
        {kind} predict(self):
            pass
    """
    with worker(tmp_path, model) as driver:
        assert driver.control.next().data == "blocking\n"
        driver.shutdown()
        assert "at exit\n" in driver.worker_log


# --- healthchecks -------------------------------------------------------------------------------


def test_a_model_that_uses_cog_says_which(tmp_path: Path) -> None:
    model = """
    import cog

    class Predictor:
        def predict(self):
            return "fine"
    """
    with worker(tmp_path, model) as driver:
        ready = driver.wait_ready()
        assert ready.worker is not None
        assert ready.worker.versions["python_sdk"] == importlib.metadata.version("cog")


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("return True", None),
        ("return None", None),
        ("return 0", None),
        ("return False", "Healthcheck failed: user-defined healthcheck returned False"),
        ("raise ValueError('hcboom')", "Healthcheck failed: ValueError: hcboom"),
        ("raise TimeoutError('no database')", "Healthcheck failed: TimeoutError: no database"),
        ("import sys; sys.exit(1)", "Healthcheck failed: SystemExit: 1"),
    ],
)
@pytest.mark.parametrize("predict", ["def", "async def"])
def test_healthcheck(tmp_path: Path, kind: str, predict: str, body: str, error: str | None) -> None:
    model = f"""
    class Predictor:
        {kind} healthcheck(self):
            print("checking")
            {body}
        {predict} predict(self):
            return "fine"
    """
    with worker(tmp_path, model) as driver:
        ready = driver.wait_ready()
        assert ready.worker is not None
        assert ready.worker.healthcheck
        assert ready.worker.versions == {"python": platform.python_version()}
        result = driver.healthcheck()
        assert result.error == error
        expected = HealthStatus.UNHEALTHY if error else HealthStatus.HEALTHY
        assert result.status is expected
        assert driver.predict().logs == ""
        driver.shutdown()
        assert driver.worker_log == "checking\n"


@pytest.mark.parametrize(
    ("kind", "sleep"), [("def", "time.sleep(600)"), ("async def", "await asyncio.sleep(600)")]
)
def test_a_healthcheck_that_hangs(tmp_path: Path, kind: str, sleep: str) -> None:
    model = f"""
    import asyncio, time
    class Predictor:
        {kind} healthcheck(self):
            {sleep}
        {kind} predict(self):
            return "fine"
    """
    text = "Healthcheck failed: user-defined healthcheck timed out after 5.0 seconds"
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.send(Healthcheck("hc_1"))
        driver.send(Healthcheck("hc_2"))
        assert driver.predict().outputs == ["fine"]  # predictions go on beside it
        assert driver.healthcheck("ping_1").status is HealthStatus.HEALTHY
        results = [driver.control.next(), driver.control.next()]
        assert results == [
            HealthcheckResult("hc_1", HealthStatus.UNHEALTHY, text),
            HealthcheckResult("hc_2", HealthStatus.UNHEALTHY, text),
        ]
        driver.shutdown()


def test_no_healthcheck_is_healthy(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        assert driver.healthcheck() == HealthcheckResult("hc_1", HealthStatus.HEALTHY)
        assert driver.healthcheck("ping_1").loop_idle is None


def test_pings_are_answered_during_setup_and_predictions(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def setup(self):
            open("go").read()
        def predict(self):
            open("go").read()
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        assert driver.healthcheck("ping_1").status is HealthStatus.HEALTHY
        result = driver.healthcheck("hc_1")
        assert result == HealthcheckResult(
            "hc_1", HealthStatus.UNHEALTHY, "Predictor not initialized"
        )
        fifo.write_text("")
        driver.wait_ready()
        driver.start()
        assert driver.healthcheck("ping_2").status is HealthStatus.HEALTHY
        fifo.write_text("")
        assert isinstance(driver.result().end, Done)


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_exit_handlers_run(tmp_path: Path, kind: str) -> None:
    model = f"""
    import atexit
    def leave():
        print("leaving " * 20_000)
    atexit.register(leave)
    class Predictor:
        {kind} predict(self):
            return "ok"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict()
        driver.shutdown()
        assert driver.worker_log.count("leaving ") == 20_000


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_shutdown_waits_for_what_runs(tmp_path: Path, kind: str) -> None:
    read = "open('go').read()"
    wait = read if kind == "def" else f"await asyncio.to_thread(lambda: {read})"
    model = f"""
    import asyncio
    class Predictor:
        {kind} predict(self):
            print("begun")
            {wait}
            return "finished"
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.send(Shutdown())
        driver.control.until(ShuttingDown)
        fifo.write_text("")
        assert driver.result().outputs == ["finished"]
        assert driver.process.wait(30) == 0
        assert Idle(driver.slot_id()) in driver.control.rest()


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_shutdown_cancels_what_runs_when_the_grace_is_over(tmp_path: Path, kind: str) -> None:
    with worker(tmp_path, BLOCKING[kind]) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.send(Shutdown(0.1))
        assert driver.result().end == Cancelled("p1")
        assert driver.process.wait(30) == 0


def test_background_tasks_of_the_model_are_cancelled(tmp_path: Path) -> None:
    model = """
    import asyncio
    class Predictor:
        async def setup(self):
            async def forever():
                try:
                    await asyncio.sleep(600)
                finally:
                    print("cleaned up")
            self.task = asyncio.create_task(forever())
        async def predict(self):
            return "ok"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict()
        driver.shutdown()
        assert driver.worker_log == "cleaned up\n"


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("busy", [False, True])
def test_the_end_of_the_control_channel_ends_the_worker(
    tmp_path: Path, kind: str, busy: bool
) -> None:
    with worker(tmp_path, BLOCKING[kind]) as driver:
        driver.wait_ready()
        if busy:
            driver.start()
            driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(30) == 0


def test_an_orphan_that_does_not_stop_is_ended(tmp_path: Path) -> None:
    model = """
    import time
    class Predictor:
        def predict(self):
            while True:
                try:
                    print("begun")
                    time.sleep(600)
                except BaseException:
                    pass
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(30) == 1


def test_an_orphan_that_can_start_no_thread_is_ended_too(tmp_path: Path) -> None:
    model = """
    import threading
    class Predictor:
        def predict(self):
            threading.stack_size(2**46)    # more than any address space
            print("begun")
            threading.Event().wait()
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(DEADLINE) == 1


def test_no_init_at_all(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO, init=False) as driver:
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(30) == 0


def test_something_else_than_init(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO, init=False) as driver:
        driver.send_bytes(bytes(encode_control_request(Shutdown())))
        (fatal,) = [each for each in driver.control.rest() if isinstance(each, Fatal)]
        assert "Shutdown came first, before init" in fatal.reason
        assert driver.process.wait(30) == 1


def test_a_malformed_control_frame_is_fatal(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        driver.send_bytes(bytes(encode_frame(b"{nonsense")))
        (fatal,) = [each for each in driver.control.rest() if isinstance(each, Fatal)]
        assert fatal.reason.startswith("control channel, frame at byte ")
        assert driver.process.wait(30) == 1


def test_last_words_stay_in_the_pipe(tmp_path: Path) -> None:
    # One call with the GIL held: nobody has a moment to read the words before the end.
    model = """
    import ctypes
    class Predictor:
        def predict(self):
            print("before")
            ctypes.PyDLL(None)["__assert_fail"](b"dying words", b"model.c", 7, b"predict")
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        with pytest.raises(Ended) as ended:
            driver.result()
        assert [each.data for each in ended.value.args[0] if type(each) is LogLine] == ["before\n"]
        assert driver.process.wait(30) == -signal.SIGABRT
        words = r"\S+: model\.c:7: predict: Assertion `dying words' failed\.\n"
        assert re.fullmatch(words, driver.last_words())


def test_sigint_does_not_disturb_the_worker(tmp_path: Path) -> None:
    model = """
    import signal, time
    class Predictor:
        def predict(self, interrupt: bool):
            if interrupt:
                signal.raise_signal(signal.SIGINT)
            return "fine"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        os.kill(driver.process.pid, signal.SIGINT)
        assert driver.predict(interrupt=False).outputs == ["fine"]
        end = driver.predict("p2", interrupt=True).end
        assert end == Failed("p2", "KeyboardInterrupt")


def test_the_old_dialect(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self):
            print("log")
            return "out"
    """
    with worker(tmp_path, model, environment={"COGLET_DIALECT": "0.19"}) as driver:
        (*_, driver.ready) = driver.control.until(Ready)
        driver.start()
        result = driver.result()  # without `protocol_version`; the driver reads both dialects
        assert result.logs == "log\n"
        assert result.outputs == ["out"]
