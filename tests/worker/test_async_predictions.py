"""Real workers with async models: slots on one loop, asyncio's or Trio's, over the wire."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.messages import (
    Cancelled,
    Done,
    Failed,
    Idle,
    LogLine,
    Metric,
    MetricMode,
    OutputChunk,
    Shutdown,
    SlotFailed,
)

if TYPE_CHECKING:
    from tests.worker.event_loops import LoopWorker

MEETING = """
class Predictor:
    async def setup(self):
        self.loop = this_loop()
        self.gates = {}
        print("set up")
    def gate(self, name):
        return self.gates.setdefault(name, Event())
    async def predict(self, wait: str = "", open: str = "", say: str = ""):
        assert this_loop() is self.loop
        print("begin", say)
        if open:
            self.gate(open).set()
        if wait:
            await self.gate(wait).wait()
        print("end", say)
        current_scope().record_metric("said", say)
        return say
"""


def test_slots_run_at_the_same_time_and_keep_apart(loop_worker: LoopWorker) -> None:
    with loop_worker(MEETING, slots=3) as driver:
        driver.wait_ready()
        assert driver.setup_log == "set up\n"
        driver.start("a", slot=0, wait="g", say="A")
        driver.wait_for_log("begin A", slot=0)
        driver.start("b", slot=1, wait="g", say="B")
        driver.wait_for_log("begin B", slot=1)
        driver.start("c", slot=2, open="g", say="C")
        for slot, name in ((2, "C"), (0, "A"), (1, "B")):
            result = driver.result(slot)
            assert result.outputs == [name]
            assert f"end {name}\n" in result.logs
            assert result.metrics == [Metric("said", name, MetricMode.REPLACE)]
            for other in {"A", "B", "C"} - {name}:
                assert other not in result.logs
        driver.shutdown()


def test_async_generators_are_streamed(tmp_path: Path, loop_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self, go: str):
        yield "first"
        await to_thread(lambda: open(go).read())
        print("between")
        yield "second"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model, slots=2) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo), slot=1)
        assert driver.slots[1].next() == OutputChunk("first", 0)
        fifo.write_text("go")
        result = driver.result(1)
        assert result.outputs == ["second"]
        assert result.logs == "between\n"
        assert isinstance(result.end, Done)
        assert result.end.is_stream


ITEMS = """
class Predictor:
    async def predict(self, kind: str, go: str):
        def items():
            for number in range(100):
                yield number
            open(go).read()
            yield "last"
        async def async_items():
            for item in items():
                yield item
        return items() if kind == "sync" else async_items()
"""


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_no_item_waits_for_the_next_one(tmp_path: Path, loop_worker: LoopWorker, kind: str) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(ITEMS) as driver:
        driver.wait_ready()
        driver.start(kind=kind, go=str(fifo))
        for number in range(100):
            assert driver.slots[0].next() == OutputChunk(number, number)
        fifo.write_text("go")
        assert driver.result().outputs == ["last"]


@pytest.mark.parametrize(
    "body",
    [
        "return itertools.count()",
        "return items()",
        "return [big] * 5_000_000",  # for minutes
    ],
)
def test_items_that_wait_for_nothing_leave_room_for_others(
    loop_worker: LoopWorker, body: str
) -> None:
    model = f"""
import itertools
big = "x" * 1000
async def items():
    for number in itertools.count():
        yield number
class Predictor:
    async def predict(self, endless: bool = False):
        if endless:
            print("begun")
            {body}
        return "neighbour"
"""
    with loop_worker(model, slots=2) as driver:
        driver.wait_ready()
        driver.start(endless=True)
        driver.wait_for_log("begun")
        assert driver.predict("p2", slot=1).outputs == ["neighbour"]
        driver.cancel()
        assert driver.result().end == Cancelled("p1")


def test_what_arrives_together_with_a_stop_is_not_begun(
    tmp_path: Path, loop_worker: LoopWorker
) -> None:
    model = """
class Predictor:
    async def predict(self, go: str = ""):
        print("begun")
        open(go).read()
        await sleep(0)
        return "done"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model, slots=6) as driver:
        driver.wait_ready()
        driver.start("p0", go=str(fifo))
        driver.wait_for_log("begun")
        for slot in range(1, 6):
            driver.start(f"p{slot}", slot, go=os.devnull)
        driver.send(Shutdown())
        driver.healthcheck("ping_1")  # the control thread has read it; the loop is still blocked
        fifo.write_text("go")
        assert driver.result().outputs == ["done"]
        for slot in range(1, 6):
            # Nothing, or all of it: it had begun before.
            assert [type(each) for each in driver.slots[slot].rest()] in (
                [],
                [LogLine, OutputChunk, Done],
            )


@pytest.mark.parametrize(
    ("body", "outputs", "is_stream"),
    [
        ("return (i for i in range(3))", [0, 1, 2], True),
        ("return [0, 1, 2]", [0, 1, 2], True),
        ("return map(str, range(2))", ["0", "1"], True),
        ("return items()", ["x", "y"], True),
        ("return None", [], False),
        ("return {'a': 1}", [{"a": 1}], False),
    ],
)
def test_results(
    loop_worker: LoopWorker, body: str, outputs: list[object], is_stream: bool
) -> None:
    model = f"""
async def items():
    yield "x"
    yield "y"
class Predictor:
    async def predict(self):
        {body}
"""
    with loop_worker(model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == outputs
        assert result.end.is_stream is is_stream


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            "raise ValueError('cancelled by user')",
            "ValueError: cancelled by user",
        ),
        ("return (1 / 0 for _ in 'x')", "ZeroDivisionError: "),
        ("return float('nan')", "output"),
    ],
)
def test_what_the_model_raises_fails_the_prediction_alone(
    tmp_path: Path, loop_worker: LoopWorker, statement: str, error: str
) -> None:
    model = f"""
class Predictor:
    async def predict(self, fail: bool = False, go: str = ""):
        if fail:
            {statement}
        if go:
            print("waiting")
            await to_thread(lambda: open(go).read())
        return "fine"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model, slots=2) as driver:
        driver.wait_ready()
        driver.start("neighbour", slot=0, go=str(fifo))
        driver.wait_for_log("waiting")
        end = driver.predict(slot=1, fail=True).end
        assert isinstance(end, Failed)
        assert end.error.startswith(error)
        fifo.write_text("go")
        assert driver.result(0).outputs == ["fine"]
        driver.wait_idle(0)
        assert driver.predict("p2", slot=1).outputs == ["fine"]


def test_a_request_on_a_busy_slot_is_refused_at_once(loop_worker: LoopWorker) -> None:
    with loop_worker(MEETING, slots=2) as driver:
        driver.wait_ready()
        driver.start("a", wait="g", say="A")
        driver.start("b", wait="g", say="B")
        end = driver.result().end
        assert end == Failed("b", "The slot is busy with another prediction")
        driver.start("c", slot=1, open="g")
        assert driver.result(0).end.id == "a"


def test_with_one_slot_all_belongs_to_its_prediction(loop_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self) -> str:
        thread = threading.Thread(target=print, args=("thread",))
        thread.start()
        thread.join()
        os.system("echo raw")
        return "ok"
"""
    with loop_worker(model) as driver:
        driver.wait_ready()
        assert driver.predict().logs == "thread\nraw\n"


CANCELLABLE = """
class Predictor:
    async def predict(self, how: str = "await"):
        print("begun")
        try:
            await sleep(600)
        except Cancelled:
            if how == "cleanup":
                with shielded():
                    await sleep(0.05)
                print("cleaned up")
                raise
            if how == "swallow":
                return "anyway"
            if how == "error":
                raise ValueError
            raise
"""


@pytest.mark.parametrize(
    ("how", "logs"),
    [("await", ""), ("cleanup", "cleaned up\n"), ("swallow", ""), ("error", "ValueError\n")],
)
def test_cancel(loop_worker: LoopWorker, how: str, logs: str) -> None:
    with loop_worker(CANCELLABLE, slots=2) as driver:
        driver.wait_ready()
        driver.start("other", slot=1)
        driver.wait_for_log("begun", slot=1)
        for number in range(3):
            driver.start(f"p{number}", how=how)
            driver.wait_for_log("begun")
            driver.cancel(f"p{number}")
            result = driver.result()
            assert result.end == Cancelled(f"p{number}")
            # The last line of a traceback, if the clean-up has failed.
            assert result.logs.endswith(logs)
            assert bool(result.logs) == bool(logs)
            driver.wait_idle()
        driver.cancel(None, slot=1)
        assert driver.result(1).end == Cancelled("other")


def test_a_cancel_counts_that_comes_while_the_model_blocks_the_loop(
    tmp_path: Path, loop_worker: LoopWorker
) -> None:
    model = """
class Predictor:
    async def predict(self, go: str = "") -> str:
        print("blocking")
        if go:
            open(go).read()
        return "finished"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("blocking")
        driver.cancel()
        driver.healthcheck("ping_1")  # the control thread has read it
        fifo.write_text("go")
        assert driver.result().end == Cancelled("p1")
        driver.wait_idle()
        assert driver.predict("p2").outputs == ["finished"]


def test_a_cancel_does_not_stand_in_line_behind_logs(loop_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self) -> str:
        number = 0
        while True:
            print("line", number)
            number += 1
            await sleep(0)
"""
    with loop_worker(model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("line 0\n")
        driver.cancel()
        assert driver.result().end == Cancelled("p1")


def test_cancel_closes_an_async_generator(loop_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self, swallow: bool):
        try:
            number = 0
            while True:
                yield number
                number += 1
                try:
                    await sleep(0)
                except Cancelled:
                    if not swallow:
                        raise
        finally:
            print("closed")
"""
    with loop_worker(model) as driver:
        driver.wait_ready()
        for number, swallow in enumerate((False, True)):
            driver.start(f"p{number}", swallow=swallow)
            assert driver.slots[0].next() == OutputChunk(0, 0)
            driver.cancel(f"p{number}")
            result = driver.result()
            assert result.end == Cancelled(f"p{number}")
            assert result.all(LogLine)[-1].data == "closed\n"
            driver.wait_idle()


def test_cancel_before_the_request_and_after_the_end(loop_worker: LoopWorker) -> None:
    with loop_worker(MEETING, slots=2) as driver:
        driver.wait_ready()
        driver.cancel("p1")
        driver.healthcheck("ping_1")
        driver.predict("x", slot=1)  # the loop has turned
        driver.start("p1", wait="never")
        assert driver.result().end == Cancelled("p1")
        driver.wait_idle()
        driver.cancel("p1")
        driver.cancel(None)
        driver.cancel("unknown")
        driver.healthcheck("ping_2")  # the control thread has read them
        driver.predict("x", slot=1)  # and so has the loop
        assert isinstance(driver.predict("p1").end, Done)


def test_cancels_around_the_end(loop_worker: LoopWorker) -> None:
    """No cancel ever meets a prediction that it does not mean."""
    model = """
class Predictor:
    async def predict(self, seconds: float) -> str:
        await sleep(seconds)
        return "done"
"""
    rng = random.Random(7)
    clock = threading.Event()
    pause = 0.001
    seen = {Done: 0, Cancelled: 0}
    with loop_worker(model, slots=2) as driver:
        driver.wait_ready()
        for number in range(300):
            driver.start(f"cancelled{number}", seconds=0.001)
            driver.start(f"other{number}", slot=1, seconds=0.002)
            clock.wait(pause * rng.uniform(0.5, 1.5))
            driver.cancel(f"cancelled{number}")
            end = driver.result().end
            assert end.id == f"cancelled{number}"
            assert type(end) in seen, end
            seen[type(end)] += 1
            pause *= 1.1 if isinstance(end, Cancelled) else 1 / 1.1
            driver.control.until(Idle)
            driver.start(f"neighbour{number}", seconds=0.0)
            assert isinstance(driver.result().end, Done)
            assert isinstance(driver.result(1).end, Done)
            driver.control.until(Idle)
            driver.control.until(Idle)
    assert seen[Done] >= 1, seen
    assert seen[Cancelled] >= 1, seen


def test_the_loop_tells_when_it_last_turned(tmp_path: Path, loop_worker: LoopWorker) -> None:
    model = """
class Predictor:
    async def predict(self, go: str) -> str:
        print("blocking")
        open(go).read()
        return "ok"
"""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with loop_worker(model) as driver:
        driver.wait_ready()
        idle = driver.healthcheck("ping_1").loop_idle
        assert idle is not None
        driver.start(go=str(fifo))
        driver.wait_for_log("blocking")
        seen = 0.0
        number = 0
        while seen < 0.6:
            number += 1
            seen = driver.healthcheck(f"ping_b{number}").loop_idle or 0.0
        fifo.write_text("")
        assert driver.result().outputs == ["ok"]


def test_a_malformed_frame_poisons_one_slot_only(loop_worker: LoopWorker) -> None:
    with loop_worker(MEETING, slots=2) as driver:
        driver.wait_ready()
        driver.sockets[1].sendall(b"\xff\xff\xff\xff")
        (*_, failed) = driver.control.until(SlotFailed)
        assert failed.slot == driver.slot_id(1)
        assert driver.predict(say="still here").outputs == ["still here"]


FILES = """
import io
class Waiting(io.RawIOBase):
    # Ends when the neighbour says so; never, if it says nothing.
    def __init__(self, gate):
        self.gate = gate
    def readable(self):
        return True
    def read(self, size):
        print("copying")
        return b"" if self.gate.wait(0.01) else b"piece"
class Predictor:
    def setup(self):
        self.gate = threading.Event()
    async def predict(self, file: bool = False, stream: bool = False):
        if not file:
            self.gate.set()
            return "neighbour"
        if not stream:
            return Waiting(self.gate)
        async def items():
            yield Waiting(self.gate)
        return items()
"""


@pytest.mark.parametrize("stream", [False, True])
def test_files_are_copied_beside_the_loop(loop_worker: LoopWorker, stream: bool) -> None:
    with loop_worker(FILES, slots=2) as driver:
        driver.wait_ready()
        driver.start(file=True, stream=stream)
        driver.wait_for_log("copying")
        assert driver.predict("p2", slot=1).outputs == ["neighbour"]
        result = driver.result()
        assert isinstance(result.end, Done)
        (file,) = result.files
        assert set(Path(file.filename).read_text().split("piece")) == {""}


def test_a_cancel_during_a_copy_leaves_nothing(tmp_path: Path, loop_worker: LoopWorker) -> None:
    with loop_worker(FILES, slots=2) as driver:
        driver.wait_ready()
        driver.start(file=True)
        driver.wait_for_log("copying")
        driver.cancel()
        result = driver.result()
        assert result.end == Cancelled("p1")
        assert result.files == []
        assert list((tmp_path / "run" / "p1" / "outputs").iterdir()) == []


def test_training(loop_worker: LoopWorker) -> None:
    model = """
    class Predictor:
        async def train(self, n: int) -> str:
            if n == 0:
                raise ValueError("zero")
            return "trained"
    """
    with loop_worker(model, is_train=True) as driver:
        driver.wait_ready()
        assert driver.predict(n=1).outputs == ["trained"]
        end = driver.predict("p2", n=0).end
        assert end.error == "ValueError: zero"
