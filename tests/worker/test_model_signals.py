"""Signal handlers of the model's that raise, wherever the signal finds the worker."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Cancelled, Done, Failed, Log, Ready, SlotFailed, WorkerLog
from tests.worker.driver import Ended, worker

if TYPE_CHECKING:
    from pathlib import Path

SYNC = """
import signal, sys, time

class TooLate(Exception):
    pass

def expire(signum, frame):
    raise TooLate("time is up")

class Predictor:
    def setup(self):
        signal.signal(signal.SIGALRM, expire)
        assert signal.getsignal(signal.SIGALRM) is expire
        assert signal.signal(signal.SIGALRM, expire) is expire
        assert signal.signal(signal.SIGUSR1, signal.SIG_IGN) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN

    def predict(self, how: str, pause: float = 0.0):
        {how}
        return how
"""
ASYNC = SYNC.replace("def predict", "async def predict").replace("{how}", "await {how}")

PRINTS = """
        try:
            signal.setitimer(signal.ITIMER_REAL, pause)
            while how == "print":
                print("x" * 50_000)
        except TooLate as error:
            print(f"caught {error}")
"""


@pytest.mark.parametrize("round_", range(5))
def test_a_model_that_does_nothing_but_print_is_interrupted_between_frames(
    tmp_path: Path, round_: int
) -> None:
    with worker(tmp_path, SYNC.replace("        {how}\n", PRINTS)) as driver:
        driver.wait_ready()
        result = driver.predict(how="print", pause=0.02 + 0.003 * round_)
        assert result.logs.endswith("caught time is up\n")
        assert driver.predict("p2", how="quick").outputs == ["quick"]


def test_a_handler_that_raises_in_a_flood_of_signals_breaks_no_frame(tmp_path: Path) -> None:
    model = """
    import signal

    def shout():
        while True:
            print("y" * 20_000)

    def expire(signum, frame):
        if frame.f_code is shout.__code__:
            raise TimeoutError

    class Predictor:
        def predict(self) -> int:
            signal.signal(signal.SIGALRM, expire)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            for _ in range(200):
                try:
                    shout()
                except TimeoutError:
                    pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            return 200
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == [200]
        assert set(result.logs) == {"y", "\n"}
        assert result.logs.count("y") % 20_000 == 0


@pytest.mark.parametrize(
    "model", [SYNC, ASYNC.replace("await {how}", "pass")], ids=["sync", "async"]
)
def test_an_alarm_that_comes_after_its_prediction_does_no_harm(tmp_path: Path, model: str) -> None:
    with worker(tmp_path, model.replace("{how}", "pass")) as driver:
        driver.wait_ready()
        driver.predict(how="stale")
        os.kill(driver.process.pid, signal.SIGALRM)
        (*_, line) = driver.control.until(WorkerLog)
        assert line.level == "error"
        assert "signal 14 raised TooLate: time is up" in line.message
        assert driver.predict("p2", how="next").outputs == ["next"]


def test_in_a_coroutine_of_the_model_it_raises_there(tmp_path: Path) -> None:
    how = "signal.setitimer(signal.ITIMER_REAL, pause); time.sleep(600)"
    with worker(tmp_path, ASYNC.replace("await {how}", how)) as driver:
        driver.wait_ready()
        result = driver.predict(how="block", pause=0.05)
        assert isinstance(result.end, Failed)
        assert result.end.error.endswith("TooLate: time is up")


def test_a_write_that_is_cut_all_the_same_ends_the_worker_aloud(tmp_path: Path) -> None:
    """Nothing stops code that raises in another thread by way of the interpreter."""
    # Only into the write, and not while another one is on its way: what follows a cut write would
    # be cut too, before it has said so.
    model = """
    import ctypes, sys, threading

    main = threading.main_thread().ident
    missed = threading.Event()

    def raise_there():
        while True:
            frame = sys._current_frames()[main]
            names = frame.f_code.co_name, frame.f_back.f_code.co_name
            if names == ("<lambda>", "_write_all"):
                missed.clear()
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(main), ctypes.py_object(RuntimeError))
                missed.wait(10)    # should something of ours have dropped it

    class Predictor:
        def setup(self):
            threading.Thread(target=raise_there, daemon=True).start()
            while True:
                try:
                    while True:
                        print("z" * 200_000)
                except RuntimeError:
                    missed.set()  # it came too late to cut the write

        def predict(self):
            pass
    """
    with worker(tmp_path, model) as driver:
        with pytest.raises(Ended) as ended:
            driver.control.until(Ready, SlotFailed)
        assert {type(message) for message in ended.value.args[0]} == {Log}
        assert driver.process.wait(30) == 1
        assert "RuntimeError() was raised into a write to the supervisor" in driver.last_words()


def test_a_forked_child_keeps_its_handlers(tmp_path: Path) -> None:
    model = """
    import os, signal, time

    def expire(signum, frame):
        raise TimeoutError

    class Predictor:
        def predict(self) -> int:
            signal.signal(signal.SIGALRM, expire)
            child = os.fork()
            if child == 0:
                try:
                    signal.alarm(1)
                    time.sleep(600)
                except TimeoutError:
                    os._exit(7)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [7]


FLOODS = """
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            while True:
                {write}
        except TooLate:
            return "caught"
"""


@pytest.mark.parametrize(
    "write",
    [
        "sys.stdout.buffer.write(b'x' * 50_000)",
        "sys.stdout.flush()",
        "print('x' * 50_000)",
    ],
)
def test_whatever_of_ours_the_model_calls_it_is_interrupted(tmp_path: Path, write: str) -> None:
    model = SYNC.replace("        {how}\n", FLOODS.replace("{write}", write))
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict(how="flood").outputs == ["caught"]


def test_a_handler_that_is_restored_in_time_leaves_no_signal_behind(tmp_path: Path) -> None:
    """What waited was not for the default action, which would end the worker."""
    model = """
    import signal, sys

    class TooLate(Exception):
        pass

    def expire(signum, frame):
        raise TooLate

    def limited():
        old = signal.signal(signal.SIGALRM, expire)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            for _ in range(50):
                sys.stdout.buffer.write(b"x" * 20_000)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)

    class Predictor:
        def predict(self) -> int:
            expired = 0
            for _ in range(100):
                try:
                    limited()
                except TooLate:
                    expired += 1
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
            return expired
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        (expired,) = driver.predict().outputs
        assert expired > 0
        assert isinstance(driver.predict("p2").end, Done)


def test_a_handler_that_blocks_can_be_interrupted_itself(tmp_path: Path) -> None:
    model = """
    import signal, time

    def block(signum, frame):
        print("in the handler")
        time.sleep(600)

    class Predictor:
        def predict(self):
            signal.signal(signal.SIGALRM, block)
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            time.sleep(600)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("in the handler")
        driver.cancel()
        assert driver.result().end == Cancelled("p1")


def test_names_of_arguments_are_those_of_the_standard_library(tmp_path: Path) -> None:
    model = """
    import signal

    class Predictor:
        def predict(self) -> bool:
            before = signal.signal(signalnum=signal.SIGUSR1, handler=print)
            return before is signal.SIG_DFL and signal.getsignal(signalnum=signal.SIGUSR1) is print
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [True]


def test_in_a_task_of_the_model_it_raises_there(tmp_path: Path) -> None:
    part = "import asyncio; await asyncio.gather(asyncio.to_thread(int), self.part(pause))"
    # Set here: an alarm that finds the loop between two tasks is logged, and nothing else.
    more = """
    async def part(self, pause):
        signal.setitimer(signal.ITIMER_REAL, pause)
        time.sleep(600)
"""
    with worker(tmp_path, ASYNC.replace("await {how}", part) + more) as driver:
        driver.wait_ready()
        result = driver.predict(how="block", pause=0.05)
        assert isinstance(result.end, Failed)
        assert result.end.error.endswith("TooLate: time is up")


def test_each_signal_calls_a_handler_of_the_loop_once(tmp_path: Path) -> None:
    model = """
    import asyncio, os, signal, sys

    class Predictor:
        async def predict(self) -> int:
            seen = []
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGUSR1, lambda: seen.append(1))
            for _ in range(100):
                os.kill(os.getpid(), signal.SIGUSR1)
                sys.stdout.buffer.write(b"x" * 5_000)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            loop.remove_signal_handler(signal.SIGUSR1)
            return len(seen)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs[0] <= 100
