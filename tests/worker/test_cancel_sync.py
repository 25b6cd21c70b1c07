"""Cancel of sync predictions: real signals into real workers."""

from __future__ import annotations

import os
import random
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from protocol.codec import encode_slot_request
from protocol.messages import Cancel, Cancelled, Done, Failed, Idle, Predict
from tests.worker.driver import DEADLINE, worker

if TYPE_CHECKING:
    from pathlib import Path

BLOCKING = {
    "sleep": "time.sleep(600)",
    "loop": "while True: pass",
    "lock": "threading.Event().wait()",
    "lock with a limit": "threading.Event().wait(600)",
    "read": "os.read(os.pipe()[0], 1)",
    "subprocess": "subprocess.run(['sleep', '600'])",
    "asyncio": "asyncio.run(asyncio.sleep(600))",
    "printing": "[print('x', flush=True) for _ in iter(int, 1)]",
    "printing bytes": "[sys.stdout.buffer.write(b'x\\n') for _ in iter(int, 1)]",
    "flushing": "[sys.stdout.flush() for _ in iter(int, 1)]",
    "printing much": "[print('line', n) for n in iter(int, 1)]",
    "pieces": "[sys.stdout.write('x') for _ in iter(int, 1)]",
    "drawing": "[sys.stderr.write('\\rx') for _ in iter(int, 1)]",
    "printing a slow value": "print(Slow())",
    "raw writing": "[os.write(1, b'x') for _ in iter(int, 1)]",
    "metrics": "[current_scope().record_metric('m', 1) for _ in iter(int, 1)]",
    "generator": "return (i for i in iter(int, 1))",
    "sleeping generator": "return (time.sleep(600) for i in iter(int, 1))",
    "deep recursion": "return deep(800)",
}
MODEL = """
import asyncio, os, subprocess, sys, threading, time
from coglet._sdk import current_scope
def deep(n):
    return deep(n - 1) if n else time.sleep(600)
class Slow:
    def __str__(self):
        time.sleep(600)
class Predictor:
    def predict(self, block: bool = True):
        if not block:
            return "next"
        print("begun")
        {statement}
"""


@pytest.mark.parametrize("name", BLOCKING)
def test_cancel_interrupts(tmp_path: Path, name: str) -> None:
    with worker(tmp_path, MODEL.replace("{statement}", BLOCKING[name])) as driver:
        driver.wait_ready()
        for number in range(3):
            driver.start(f"p{number}")
            driver.wait_for_log("begun")
            driver.cancel(f"p{number}" if number else None)
            assert driver.result().end == Cancelled(f"p{number}")
            driver.wait_idle()
        assert driver.predict("next", block=False).outputs == ["next"]
        driver.shutdown()


def test_clean_up_runs_undisturbed(tmp_path: Path) -> None:
    """Longer than what goes on as if nothing had happened is left alone."""
    statement = """
        try:
            print("inside")
            time.sleep(600)
        finally:
            try:
                {}["not there"]
            except KeyError:
                for _ in range(12):
                    time.sleep(0.1)
            print("cleaned up")
    """
    with worker(
        tmp_path, MODEL.replace("{statement}", statement), options={"cancel_grace": 60.0}
    ) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("inside")
        driver.cancel()
        result = driver.result()
        assert result.logs == "cleaned up\n"
        assert result.end == Cancelled("p1")


def test_clean_up_without_end_is_interrupted_too(tmp_path: Path) -> None:
    statement = """
        try:
            print("inside")
            time.sleep(600)
        finally:
            print("cleaning up")
            time.sleep(600)
    """
    with worker(
        tmp_path, MODEL.replace("{statement}", statement), options={"cancel_grace": 2.0}
    ) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("inside")
        driver.cancel()
        result = driver.result()
        assert result.logs == "cleaning up\n"
        assert result.end == Cancelled("p1")


def test_swallowing_it_does_not_make_it_a_success(tmp_path: Path) -> None:
    statement = """
        try:
            print("inside")
            time.sleep(600)
        except BaseException as error:
            print(type(error).__module__, type(error).__qualname__)
            return "finished anyway"
    """
    with worker(tmp_path, MODEL.replace("{statement}", statement)) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("inside")
        driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.logs == "coglet CancelationException\n"
        driver.wait_idle()
        assert driver.predict("p2", block=False).outputs == ["next"]


@pytest.mark.parametrize(
    "statement",
    [
        # An exception that is raised in a finaliser is printed and dropped.
        """
        class Sticky:
            def __del__(self):
                print("in del")
                time.sleep(600)
        sticky = Sticky()
        del sticky
        time.sleep(600)
        """,
        # A model that goes on regardless is told again.
        """
        for _ in range(3):
            try:
                time.sleep(600)
            except BaseException:
                print("no")
        """,
        # A generator that swallows it and yields on.
        """
        def items():
            while True:
                try:
                    time.sleep(600)
                except BaseException:
                    yield "no"
        return items()
        """,
    ],
    ids=["finaliser", "stubborn", "stubborn generator"],
)
def test_one_signal_is_not_enough(tmp_path: Path, statement: str) -> None:
    with worker(tmp_path, MODEL.replace("{statement}", statement)) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.cancel()
        assert driver.result().end == Cancelled("p1")
        driver.wait_idle()
        assert driver.predict("p2", block=False).outputs == ["next"]


def test_an_error_while_it_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    statement = """
        try:
            time.sleep(600)
        finally:
            raise ValueError
    """
    with worker(tmp_path, MODEL.replace("{statement}", statement)) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        driver.cancel()
        assert driver.result().end == Cancelled("p1")


def test_the_model_may_raise_it_itself(tmp_path: Path) -> None:
    statement = "import coglet; raise coglet.CancelationException"
    with worker(tmp_path, MODEL.replace("{statement}", statement)) as driver:
        driver.wait_ready()
        assert driver.predict().end == Cancelled("p1")
        assert driver.predict("p2", block=False).outputs == ["next"]


def test_a_model_that_replaces_the_handler_is_not_killed(tmp_path: Path) -> None:
    model = """
    import os, signal
    class Predictor:
        def predict(self, go: str) -> str:
            for number in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
                signal.signal(number, signal.SIG_DFL)
            print("begun")
            return os.read(os.open(go, os.O_RDONLY), 4).decode()
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    # Both ends: the cancel may meet the print, and then nobody ever opens the other one.
    held = os.open(fifo, os.O_RDWR)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("begun")
        driver.cancel()
        driver.healthcheck("ping_1")  # the control thread has handled the cancel
        os.write(held, b"done")
        assert driver.result().end == Cancelled("p1")
    os.close(held)


def test_cancel_before_the_request(tmp_path: Path) -> None:
    with worker(tmp_path, MODEL.replace("{statement}", "time.sleep(600)")) as driver:
        driver.wait_ready()
        driver.cancel("p1")
        driver.healthcheck("ping_1")
        driver.start("p1")
        assert driver.result().end == Cancelled("p1")
        driver.wait_idle()
        assert driver.predict("p1", block=False).outputs == ["next"]  # it is forgotten


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_spilled_input_goes_with_a_prediction_that_never_begins(
    tmp_path: Path, kind: str
) -> None:
    spill = tmp_path / "run" / "inputs" / "spill_1.json"
    spill.parent.mkdir(parents=True)
    spill.write_text("{}")
    elsewhere = tmp_path / "kept.json"
    elsewhere.write_text("{}")
    outputs = str(tmp_path / "run" / "outputs")
    with worker(tmp_path, f"class Predictor:\n    {kind} predict(self): pass") as driver:
        driver.wait_ready()
        for number, path in enumerate((spill, elsewhere)):
            driver.cancel(f"p{number}")
            driver.healthcheck("ping_1")
            driver.start_with(Predict(f"p{number}", input_file=str(path), output_dir=outputs))
            assert driver.result().end == Cancelled(f"p{number}")
            assert not spill.exists()
            driver.wait_idle()
        assert elsewhere.exists()


def test_cancel_of_another_prediction(tmp_path: Path) -> None:
    with worker(tmp_path, MODEL.replace("{statement}", "time.sleep(600)")) as driver:
        driver.wait_ready()
        driver.cancel("never_comes")
        driver.cancel(None)
        driver.send(Cancel("5c0c7b5f-5f3c-4b2c-8d22-0d3f8c9c6f11"))
        driver.healthcheck("ping_1")
        assert driver.predict("p1", block=False).outputs == ["next"]
        driver.cancel("p1")  # over
        driver.healthcheck("ping_2")
        assert driver.predict("p1", block=False).outputs == ["next"]
        driver.start("p2")
        driver.wait_for_log("begun")
        driver.cancel("p1")
        driver.healthcheck("ping_3")
        driver.cancel("p2")
        assert driver.result().end == Cancelled("p2")


def test_cancel_in_the_middle_of_a_long_request(tmp_path: Path) -> None:
    with worker(tmp_path, MODEL.replace("{statement}", "time.sleep(600)")) as driver:
        driver.wait_ready()
        frame = encode_slot_request(
            Predict("p1", {"block": True, "more": "x" * 5_000_000}, output_dir=str(tmp_path))
        )
        driver.sockets[0].sendall(frame[:1_000_000])
        driver.cancel(None)
        driver.healthcheck("ping_1")
        driver.sockets[0].sendall(frame[1_000_000:])
        assert driver.result().end == Cancelled("p1")


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_cancel_of_a_download(tmp_path: Path, kind: str) -> None:
    model = f"""
    import pathlib
    class Predictor:
        {kind} predict(self, file: pathlib.Path = None):
            return "ran"
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        worker(tmp_path, model) as driver,
    ):
        server.settimeout(DEADLINE)
        driver.wait_ready()
        driver.start(file=f"http://127.0.0.1:{server.getsockname()[1]}/never.bin")
        connection, _ = server.accept()
        driver.cancel()
        assert driver.result().end == Cancelled("p1")
        driver.wait_idle()
        assert driver.predict("p2").outputs == ["ran"]
        connection.close()


def test_a_thousand_cancels_around_the_end(tmp_path: Path) -> None:
    """No cancel ever meets a prediction that it does not mean."""
    model = """
    import time
    class Predictor:
        def predict(self, seconds: float) -> str:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                pass
            return "done"
    """
    rng = random.Random(7)
    clock = threading.Event()
    pause = 0.001
    seen = {Done: 0, Cancelled: 0}
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        for number in range(1000):
            driver.start(f"cancelled{number}", seconds=0.001)
            clock.wait(pause * rng.uniform(0.5, 1.5))
            driver.cancel(f"cancelled{number}")
            end = driver.result().end
            assert end.id == f"cancelled{number}"
            assert not isinstance(end, Failed), end
            seen[type(end)] += 1
            # Stay around the end, however fast this machine is just now.
            pause *= 1.1 if isinstance(end, Cancelled) else 1 / 1.1
            assert isinstance(driver.wait_idle()[-1], Idle)
            neighbour = driver.predict(f"neighbour{number}", seconds=0.0)
            assert isinstance(neighbour.end, Done), neighbour
    assert seen[Done] >= 1, seen
    assert seen[Cancelled] >= 1, seen
