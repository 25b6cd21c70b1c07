"""`--concurrency threads`: real workers with a sync model in several slots, one thread each."""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from protocol.messages import (
    Cancelled,
    Done,
    Failed,
    Idle,
    Log,
    LogLine,
    Metric,
    MetricMode,
    Predict,
    Shutdown,
    ShuttingDown,
    SlotFailed,
)
from tests.worker.driver import DEADLINE, Driver, worker

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

MODEL = """
import _thread, contextvars, coglet, os, signal, sys, threading, time
from coglet._sdk import current_scope
class Predictor:
    def predict(self, block: bool = True, go: str = ""):
        if not block:
            if go:
                open(go).read()
            return "next"
        print("begun")
        {statement}
"""


def threads(
    folder: Path, model: str, *, slots: int = 2, statement: str = "", **more: Any
) -> AbstractContextManager[Driver]:
    model = model.replace("{statement}", statement)
    return worker(folder, model, slots=slots, options={"concurrency": "threads"}, **more)


def idle_of(driver: Driver, slot: int) -> None:
    """Wait for the `idle` of one slot, whatever the others say meanwhile."""
    while driver.control.next() != Idle(driver.slot_id(slot)):
        pass


def test_equal_ids_in_two_slots_are_two_predictions(tmp_path: Path) -> None:
    model = """
    from coglet._sdk import current_scope
    class Predictor:
        def predict(self, word: str, go: str):
            print("begun", word)
            while not go:
                pass
            open(go).read()
            current_scope().record_metric("word", word)
            print("ended", word)
            return word
    """
    fifos = [tmp_path / "left", tmp_path / "right"]
    with threads(tmp_path, model) as driver:
        driver.wait_ready()
        for slot, fifo in enumerate(fifos):
            os.mkfifo(fifo)
            driver.start("same", slot, word=fifo.name, go=str(fifo))
        for slot, fifo in enumerate(fifos):
            driver.wait_for_log(f"begun {fifo.name}\n", slot)
        # What ends in one slot ends nothing in the other, nor its log.
        for slot, fifo in enumerate(fifos):
            fifo.write_text("")
            result = driver.result(slot)
            assert result.logs == f"ended {fifo.name}\n"
            assert result.outputs == [fifo.name]
            assert [metric.value for metric in result.metrics] == [fifo.name]
            idle_of(driver, slot)
        for slot, go in enumerate((str(fifos[0]), "")):
            driver.start("same", slot, word=fifos[slot].name, go=go)
            driver.wait_for_log("begun", slot)
        driver.cancel("same", 1)
        assert driver.result(1).end == Cancelled("same")
        fifos[0].write_text("")
        assert driver.result(0).outputs == ["left"]


def test_slots_run_at_the_same_time_and_keep_apart(tmp_path: Path) -> None:
    model = """
    import contextvars, threading
    from coglet._sdk import current_scope
    value = contextvars.ContextVar("value")
    class Predictor:
        def setup(self):
            value.set("set-up")
            self.meeting = threading.Barrier(3)
            assert threading.current_thread() is threading.main_thread()
        def predict(self, name: str):
            assert value.get() == "set-up"
            value.set(name)
            scope = current_scope()
            for step in range(20):
                self.meeting.wait(20)
                print(name, step, end=" ", flush=step % 2)
                scope.record_metric("steps", 1, "incr")
                yield name + scope.context["who"]
            assert current_scope() is scope
            assert value.get() == name
            print("end")
    """
    with threads(tmp_path, model, slots=3) as driver:
        driver.wait_ready()
        for turn in range(3):
            for slot, name in enumerate("abc"):
                driver.start_with(
                    Predict(
                        f"{name}{turn}",
                        {"name": name},
                        output_dir=str(tmp_path / name),
                        context={"who": str(slot)},
                    ),
                    slot,
                )
            for slot, name in enumerate("abc"):
                result = driver.result(slot)
                assert isinstance(result.end, Done), result.end
                assert result.end.id == f"{name}{turn}"
                assert result.outputs == [f"{name}{slot}"] * 20
                assert result.metrics == [Metric("steps", 1, MetricMode.INCREMENT)] * 20
                assert result.logs == "".join(f"{name} {step} " for step in range(20)) + "end\n"
            idle = [driver.control.until(Idle)[-1].slot for _ in range(3)]
            assert set(idle) == {driver.slot_id(slot) for slot in range(3)}
        driver.shutdown()
        assert driver.worker_log == ""


def test_one_slot_stays_on_the_main_thread(tmp_path: Path) -> None:
    statement = "return threading.current_thread() is threading.main_thread()"
    with threads(tmp_path, MODEL, slots=1, statement=statement) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [True]


def test_what_no_prediction_can_be_found_for_is_the_workers(tmp_path: Path) -> None:
    statement = """
        os.write(1, b"raw\\n")
        started = _thread.allocate_lock()
        started.acquire()
        def bare():
            current_scope().record_metric("m", 1)
            started.release()
        _thread.start_new_thread(bare, ())
        started.acquire()
        return "ok"
    """
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.logs == "begun\n"
        assert result.metrics == []
        driver.shutdown()
        assert driver.worker_log == "raw\n"


# --- cancel -------------------------------------------------------------------------------------

INTERRUPTIBLE = {
    "loop": "while True: pass",
    "short calls": "while True: time.sleep(0.01)",
    "printing": "[print('x', flush=True) for _ in iter(int, 1)]",
    "flushing": "[sys.stdout.flush() for _ in iter(int, 1)]",
    "metrics": "[current_scope().record_metric('m', 1) for _ in iter(int, 1)]",
    "bytes": "[sys.stdout.buffer.write(b'x\\n') for _ in iter(int, 1)]",
    "generator": "return (i for i in iter(int, 1))",
    "slow generator": "return (time.sleep(0.01) for i in iter(int, 1))",
    "output": "return [0 for _ in iter(int, 1) if not [i for i in range(1000)]]",
}


@pytest.mark.parametrize("name", INTERRUPTIBLE)
def test_cancel_interrupts_one_and_not_the_other(tmp_path: Path, name: str) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with threads(tmp_path, MODEL, statement=INTERRUPTIBLE[name]) as driver:
        driver.wait_ready()
        driver.start("neighbour", 1, block=False, go=str(fifo))
        for number in range(3):
            driver.start(f"p{number}")
            driver.wait_for_log("begun")
            driver.cancel(f"p{number}" if number else None)
            assert driver.result().end == Cancelled(f"p{number}")
            driver.wait_idle()
        assert driver.predict("next", block=False).outputs == ["next"]
        fifo.write_text("")
        assert driver.result(1).outputs == ["next"]
        driver.shutdown()


def test_a_blocking_call_is_interrupted_when_it_ends(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    statement = """
        try:
            os.system("echo inside; cat go")    # one call into C, which says that it has begun
            print("not reached")
        finally:
            print("cleaned up")
    """
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        driver.start()
        assert driver.control.until(Log)[-1].data == "inside\n"
        driver.cancel()
        driver.healthcheck("ping_1")  # the control thread has handled it
        assert driver.predict("p2", 1, block=False).outputs == ["next"]
        fifo.write_text("")
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == "begun\ncleaned up\n"


@pytest.mark.parametrize(
    "statement",
    [
        """
        class Sticky:
            def __del__(self):
                print("in del")
                while True:
                    time.sleep(0.01)
        sticky = Sticky()
        del sticky
        while True:
            pass
        """,
        """
        for _ in range(3):
            try:
                print("inside")
                while True:
                    time.sleep(0.01)
            except BaseException as error:
                print(type(error).__module__, type(error).__qualname__, repr(error))
                assert isinstance(error, coglet.CancelationException)
        """,
        """
        def items():
            while True:
                try:
                    while True:
                        time.sleep(0.01)
                except BaseException:
                    yield "no"
        return items()
        """,
        """
        try:
            while True:
                pass
        finally:
            raise ValueError
        """,
    ],
    ids=["finaliser", "stubborn", "stubborn generator", "error"],
)
def test_once_is_not_enough(tmp_path: Path, statement: str) -> None:
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("inside" if "inside" in statement else "begun")
        driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        if "inside" in statement:
            assert "coglet CancelationException CancelationException()\n" in result.logs
        driver.wait_idle()
        assert driver.predict("p2", block=False).outputs == ["next"]


def test_cancel_before_the_request(tmp_path: Path) -> None:
    with threads(tmp_path, MODEL, statement="while True: pass") as driver:
        driver.wait_ready()
        driver.cancel("p1")
        driver.healthcheck("ping_1")
        driver.start("p1", 1, block=False)  # another slot: it is not the one that was meant
        assert driver.result(1).outputs == ["next"]
        driver.start("p1")
        assert driver.result().end == Cancelled("p1")


def test_the_model_may_raise_it_itself(tmp_path: Path) -> None:
    with threads(tmp_path, MODEL, statement="raise coglet.CancelationException") as driver:
        driver.wait_ready()
        assert driver.predict().end == Cancelled("p1")
        assert driver.predict("p2", block=False).outputs == ["next"]


def test_a_model_that_raises_into_its_own_threads_may_use_ctypes_as_it_likes(
    tmp_path: Path,
) -> None:
    statement = """
        import ctypes
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        raise_in.argtypes = [ctypes.c_long, ctypes.py_object]
        while True:
            pass
    """
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        for number in range(2):
            driver.start(f"p{number}")
            driver.wait_for_log("begun")
            driver.cancel(f"p{number}")
            assert driver.result().end == Cancelled(f"p{number}")
            driver.wait_idle()


@pytest.mark.parametrize(
    "work",
    [
        "pass",
        "print('x' * 50)",
        "print('x' * 1_000_000)",
        "current_scope().record_metric('m', 1, 'incr')",
        "yield 'x'",
        "[str(i) for i in range(20)]",
    ],
)
def test_cancels_around_the_end_in_four_slots(tmp_path: Path, work: str) -> None:
    """None meets a prediction that it does not mean; no frame is cut; no slot is lost."""
    model = f"""
    import time
    from coglet._sdk import current_scope
    class Predictor:
        def predict(self, seconds: float):
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                {work}
    """
    rng = random.Random(7)
    clock = threading.Event()
    pauses = [0.002] * 4
    seen = {Done: 0, Cancelled: 0}
    with threads(tmp_path, model, slots=4) as driver:
        driver.wait_ready()
        for number in range(100):
            for slot in range(4):
                driver.start(f"cancelled{number}", slot, seconds=0.002)
            for slot in range(4):
                clock.wait(pauses[slot] * rng.uniform(0.2, 1.0))
                driver.cancel(f"cancelled{number}", slot)
            for slot in range(4):
                end = driver.result(slot).end
                assert end.id == f"cancelled{number}"
                assert not isinstance(end, Failed), end
                seen[type(end)] += 1
                pauses[slot] *= 1.1 if isinstance(end, Cancelled) else 1 / 1.1
            for _ in range(4):
                assert isinstance(driver.control.until(Idle, SlotFailed)[-1], Idle)
            for slot in range(4):
                driver.start(f"neighbour{number}", slot, seconds=0.0)
            for slot in range(4):
                assert isinstance(driver.result(slot).end, Done)
            for _ in range(4):
                assert isinstance(driver.control.until(Idle, SlotFailed)[-1], Idle)
        driver.shutdown()
    assert seen[Done] >= 1, seen
    assert seen[Cancelled] >= 1, seen


# --- the rest of a slot's life ------------------------------------------------------------------


def test_a_request_on_a_busy_slot_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with threads(tmp_path, MODEL, statement=f"open({str(fifo)!r}).read()") as driver:
        driver.wait_ready()
        driver.start("p1")
        driver.wait_for_log("begun")
        driver.start("p2", block=False)
        fifo.write_text("")
        assert isinstance(driver.result().end, Done)
        assert driver.result().end == Failed("p2", "The slot is busy with another prediction")
        driver.wait_idle()


def test_a_poisoned_slot_leaves_the_others_alone(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with threads(tmp_path, MODEL, statement=f"open({str(fifo)!r}).read()") as driver:
        driver.wait_ready()
        driver.start("p1", 1)
        driver.wait_for_log("begun", 1)
        driver.sockets[0].sendall(b"\0\0\0\2{}")
        failed = driver.control.until(SlotFailed)[-1]
        assert failed.slot == driver.slot_id(0)
        fifo.write_text("")
        assert isinstance(driver.result(1).end, Done)
        idle_of(driver, 1)
        driver.sockets[1].sendall(b"\0\0\0\2{}")
        assert driver.process.wait(DEADLINE) == 0  # no slot is left


def test_shutdown_waits_for_what_runs(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    statement = """
        open(go).read()
        return "finished"
    """
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("begun")
        driver.send(Shutdown(DEADLINE))
        driver.control.until(ShuttingDown)
        fifo.write_text("")
        assert driver.result().outputs == ["finished"]
        assert driver.process.wait(DEADLINE) == 0


def test_shutdown_cancels_what_runs_when_the_grace_is_over(tmp_path: Path) -> None:
    with threads(tmp_path, MODEL, statement="while True: pass") as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.send(Shutdown(0.1))
        assert driver.result().end == Cancelled("p1")
        assert driver.process.wait(DEADLINE) == 0


def test_the_end_of_the_control_channel_ends_the_worker(tmp_path: Path) -> None:
    with threads(tmp_path, MODEL, statement="while True: pass") as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(DEADLINE) == 0


def test_the_models_signal_handlers_run_on_the_main_thread(tmp_path: Path) -> None:
    model = """
    import signal, threading
    class Predictor:
        def setup(self):
            self.arrived = threading.Event()
            signal.signal(signal.SIGUSR1, lambda *_: self.arrived.set())
        def predict(self):
            print("waiting")
            self.arrived.wait()
            return "signalled"
    """
    with threads(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("waiting")
        os.kill(driver.process.pid, signal.SIGUSR1)
        assert driver.result().outputs == ["signalled"]


def test_children_of_a_prediction(tmp_path: Path) -> None:
    statement = """
        import multiprocessing
        with multiprocessing.get_context("fork").Pool(2) as pool:
            values = pool.map(str, range(10))
        child = os.fork()
        if not child:
            print("child", flush=True)
            return "never seen"
        os.waitpid(child, 0)
        return values
    """
    with threads(tmp_path, MODEL, statement=statement) as driver:
        driver.wait_ready()
        for number in range(3):
            result = driver.predict(f"p{number}", number % 2)
            assert result.outputs == list(map(str, range(10)))
            assert not any("child" in line.data for line in result.all(LogLine))
        driver.shutdown()
        assert driver.worker_log == "child\n" * 3
