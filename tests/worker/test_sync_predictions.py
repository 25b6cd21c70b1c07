"""Real workers with sync models, over the wire."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from protocol.framing import encode_frame
from protocol.messages import (
    Done,
    Failed,
    FileKind,
    Metric,
    MetricMode,
    OutputChunk,
    Predict,
    SlotFailed,
    WorkerLog,
)
from tests.worker.driver import worker

ECHO = """
class Predictor:
    def predict(self, value=None):
        return value
"""


def test_one_prediction(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def setup(self):
            print("loading")
            self.suffix = "!"
        def predict(self, text: str) -> str:
            print("working")
            return text + self.suffix
    """
    with worker(tmp_path, model) as driver:
        ready = driver.wait_ready()
        assert driver.setup_log == "loading\n"
        assert ready.worker is not None
        assert ready.worker.name == "coglet-trio"
        assert not ready.worker.healthcheck
        assert ready.schema is not None
        assert "text" in ready.schema["components"]["schemas"]["Input"]["properties"]
        result = driver.predict(text="hi")
        assert result.outputs == ["hi!"]
        assert result.logs == "working\n"
        assert isinstance(result.end, Done)
        assert result.end.id == "p1"
        driver.shutdown()


@pytest.mark.parametrize(
    "value", ["x", 1, 1.5, True, {"b": [1, {"a": None}]}, 2**70, "é" * 1000], ids=str
)
def test_a_value_is_one_output(tmp_path: Path, value: object) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        result = driver.predict(value=value)
        assert result.messages[:-1] == [OutputChunk(value, 0)]
        assert not result.end.is_stream


@pytest.mark.parametrize(("value", "streams"), [(None, False), ([], True)])
def test_nothing_is_no_output(tmp_path: Path, value: object, streams: bool) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        result = driver.predict(wrapped=1) if value is None else driver.predict(value=value)
        if value is None:  # an unknown keyword, which is the model's to refuse
            assert "unexpected keyword argument 'wrapped'" in result.end.error
            result = driver.predict("p2")
        assert result.outputs == []
        assert result.end.is_stream is streams


def test_lists_are_sent_item_by_item(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        result = driver.predict(value=list(range(1000)))
        assert result.outputs == list(range(1000))
        assert [chunk.index for chunk in result.all(OutputChunk)] == list(range(1000))
        assert result.end.is_stream


def test_generators_are_streamed(tmp_path: Path) -> None:
    model = """
    import os
    class Predictor:
        def predict(self, go: str):
            yield "first"
            open(go).read()     # a FIFO: waits until the first item was seen
            print("between")
            yield "second"
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        assert driver.slots[0].next() == OutputChunk("first", 0)
        fifo.write_text("go")
        result = driver.result()
        assert result.outputs == ["second"]
        assert result.logs == "between\n"
        assert result.end.is_stream


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise ValueError('boom')", "ValueError: boom"),
        ("raise ValueError", "ValueError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('b')", "BaseException: b"),
        ("raise ValueError('\\ud800')", "ValueError: ?"),
    ],
)
def test_what_the_model_raises_fails_the_prediction_alone(
    tmp_path: Path, statement: str, error: str
) -> None:
    model = f"""
    class Predictor:
        def predict(self, fail: bool) -> str:
            if fail:
                {statement}
            return "fine"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict(fail=True).end == Failed("p1", error)
        assert driver.predict("p2", fail=False).outputs == ["fine"]


BAD_ITEM = """
class Predictor:
    def predict(self, way: str):
        items = ["fine", {"score": float("nan")}]
        return iter(items) if way == "iterator" else items
"""


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("way", ["list", "iterator"])
def test_the_error_names_the_item(tmp_path: Path, way: str, is_async: bool) -> None:
    with worker(tmp_path, BAD_ITEM.replace("def", "async def" if is_async else "def")) as driver:
        driver.wait_ready()
        error = "output[1].score: nan is no number in JSON"
        assert driver.predict(way=way).end == Failed("p1", error)


def test_a_field_of_pydantic_declares_an_input(tmp_path: Path) -> None:
    model = """
    from pydantic import Field
    class Predictor:
        def predict(
            self,
            x: int = Field(default=3, ge=1, le=9, description="How many"),
            made: list[int] = Field(default_factory=list),
            needed: str = Field(min_length=2),
        ) -> str:
            made.append(x)
            return f"{made} {needed}"
    """
    with worker(tmp_path, model) as driver:
        document = driver.wait_ready().schema
        assert document is not None
        schema = document["components"]["schemas"]["Input"]
        assert schema["required"] == ["needed"]
        assert schema["properties"]["x"] == {
            "default": 3,
            "description": "How many",
            "maximum": 9,
            "minimum": 1,
            "title": "X",
            "type": "integer",
            "x-order": 0,
        }
        assert "default" not in schema["properties"]["made"]
        assert driver.predict(needed="ab").outputs == ["[3] ab"]
        assert driver.predict("p2", needed="ab", x=4).outputs == ["[4] ab"]


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("raised", ["ValueError", "SystemExit", "KeyboardInterrupt"])
def test_errors_that_cannot_be_told_are_told_anyway(tmp_path: Path, kind: str, raised: str) -> None:
    model = f"""
    class Odd(Exception):
        def __str__(self):
            raise {raised}
    class Predictor:
        {kind} predict(self, long: bool) -> str:
            raise ValueError("x" * 20_000_000) if long else Odd
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        end = driver.predict(long=False).end
        assert end.error == f"Odd: <{raised} in __str__>"
        end = driver.predict("p2", long=True).end
        assert end.error.startswith("ValueError: xxx")
        assert len(end.error) < 100_000


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise ValueError('boom')", "Prediction failed: Prediction failed: ValueError: boom"),
        ("raise ValueError", "Prediction failed: Prediction failed: ValueError: "),
        (
            "return float('inf')",
            "Prediction failed: Failed to serialize output: output: inf is no number in JSON",
        ),
    ],
)
def test_errors_as_coglet_words_them(tmp_path: Path, statement: str, error: str) -> None:
    model = f"""
    class Predictor:
        def predict(self) -> float:
            {statement}
    """
    with worker(tmp_path, model, options={"error_prefixes": True}) as driver:
        driver.wait_ready()
        assert driver.predict().end == Failed("p1", error)


def test_the_traceback_is_in_the_logs(tmp_path: Path) -> None:
    model = """
    import os
    def inner():
        raise ValueError("boom")
    class Predictor:
        def predict(self, how: str):
            print("before")
            os.write(1, b"in C\\n")
            return getattr(self, how)()
        def fail(self):
            try:
                inner()
            except ValueError as error:
                raise RuntimeError("no luck") from error
        def output(self):
            return float("nan")
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        logs = driver.predict(how="fail").logs
        assert logs.startswith("before\nin C\nTraceback (most recent call last):\n")
        assert "ValueError: boom\n\nThe above exception was the direct cause" in logs
        assert logs.endswith("RuntimeError: no luck\n")
        assert logs.count('predict.py", line') == 4
        assert "worker/" not in logs, "the model's frames only"
        assert driver.predict("p2", how="output").logs == "before\nin C\n", "it names its place"


def test_a_generator_fails_in_the_middle(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self):
            yield 1
            raise ValueError("mid")
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == [1]
        assert result.end.error == "ValueError: mid"


def test_an_output_that_is_no_json(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self) -> str:
            return {"scores": [1.0, float("nan")]}
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        end = driver.predict().end
        assert end.error.startswith("output.scores")


def test_a_big_output_goes_to_a_spill_file(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self) -> str:
            return "x" * 7_000_000
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        (file,) = result.files
        assert file.kind is FileKind.OVERSIZED
        assert json.loads(Path(file.filename).read_text()) == "x" * 7_000_000
        assert isinstance(result.end, Done)


def test_file_outputs(tmp_path: Path) -> None:
    model = """
    import pathlib
    class Predictor:
        def predict(self):
            path = pathlib.Path("out.txt")
            path.write_text("hello")
            return path
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        (file,) = driver.predict().files
        assert file.kind is FileKind.FILE
        assert Path(file.filename).read_text() == "hello"
        assert Path(file.filename).is_relative_to(tmp_path / "run" / "p1" / "outputs")


def test_input_from_a_spill_file(tmp_path: Path) -> None:
    outputs = tmp_path / "run" / "outputs"
    outputs.mkdir(parents=True)
    spill = tmp_path / "run" / "inputs" / "spill_1.json"
    spill.parent.mkdir()
    spill.write_text('{"value": "from the file"}')
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        driver.start_with(Predict("p1", input_file=str(spill), output_dir=str(outputs)))
        assert driver.result().outputs == ["from the file"]
        assert not spill.exists()
        driver.wait_idle()
        driver.start_with(Predict("p2", input_file=str(spill), output_dir=str(outputs)))
        assert driver.result().end.error.startswith("Failed to rehydrate input: ")
        driver.wait_idle()
        driver.start_with(Predict("p3", output_dir=str(outputs)))
        assert driver.result().end.error == (
            "Failed to rehydrate input: SlotRequest::Predict has neither input nor input_file"
        )
        driver.wait_idle()
        driver.start_with(Predict("p4", [1], output_dir=str(outputs)))
        end = driver.result().end
        assert end.error == "Input validation error: Input must be a JSON object"


def test_big_inline_inputs(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self, text: str) -> int:
            return len(text)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict(text="x" * 6_000_000).outputs == [6_000_000]
        assert driver.predict("p2", text="y").outputs == [1]


def test_metrics_and_context(tmp_path: Path) -> None:
    model = """
    from coglet._sdk import current_scope
    import threading
    class Predictor:
        def predict(self) -> str:
            scope = current_scope()
            scope.record_metric("tokens", 3)
            thread = threading.Thread(target=lambda: current_scope().record_metric("t", 1, "incr"))
            thread.start()
            thread.join()
            return scope.context["who"]
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start_with(Predict("p1", {}, output_dir=str(tmp_path), context={"who": "me"}))
        result = driver.result()
        assert result.metrics == [
            Metric("tokens", 3, MetricMode.REPLACE),
            Metric("t", 1, MetricMode.INCREMENT),
        ]
        assert result.outputs == ["me"]


def test_a_metric_after_the_end_is_not_sent(tmp_path: Path) -> None:
    model = """
    from coglet._sdk import current_scope
    class Predictor:
        kept = None
        def predict(self) -> str:
            if self.kept:
                self.kept.record_metric("late", 1)
            self.kept = current_scope()
            return "ok"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict()
        assert driver.predict("p2").metrics == []


def test_the_model_has_the_main_thread(tmp_path: Path) -> None:
    model = """
    import signal, threading
    class Predictor:
        def setup(self):
            self.local = threading.local()
            self.local.value = "kept"
        def predict(self) -> str:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            assert threading.current_thread() is threading.main_thread()
            return self.local.value
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["kept"]


def test_a_request_on_a_busy_slot_is_refused(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self, go: str) -> str:
            print("running")
            open(go).read()
            return "ok"
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start("p1", go=str(fifo))
        driver.wait_for_log("running")
        driver.start("p2", go=str(fifo))
        driver.start("p3", go=str(fifo))
        fifo.write_text("go")
        assert driver.result().outputs == ["ok"]
        assert driver.result().end == Failed("p2", "The slot is busy with another prediction")
        assert driver.result().end == Failed("p3", "The slot is busy with another prediction")
        driver.wait_idle()


def test_an_unknown_message_is_skipped(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        for _ in range(3):
            driver.sockets[0].sendall(encode_frame(b'{"type":"from_the_future"}'))
            driver.send_bytes(bytes(encode_frame(b'{"type":"from_the_future"}')))
        driver.start(value=1)
        assert driver.result().outputs == [1]
        said = [each for each in driver.shutdown() if isinstance(each, WorkerLog)]
        assert len(said) == 2  # once for each channel


def test_a_malformed_frame_poisons_the_slot(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        driver.sockets[0].sendall(encode_frame(b'{"type":"predict","id":5}'))
        messages = driver.control.rest()
        (failed,) = [message for message in messages if isinstance(message, SlotFailed)]
        assert failed.slot == driver.slot_id()
        assert "frame at byte 0: predict: " in failed.error
        assert driver.process.wait(30) == 0  # no slot is left


def test_a_supervisor_that_closes_a_slot_ends_the_worker(tmp_path: Path) -> None:
    with worker(tmp_path, ECHO) as driver:
        driver.wait_ready()
        driver.predict(value=1)
        driver.sockets[0].shutdown(2)
        assert driver.process.wait(30) == 0


def test_a_slot_that_cannot_be_written_is_poisoned(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self, go: str):
            print("begun")
            open(go).read()
            print("nobody hears this " * 100_000)
            return "nor this"
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("begun")
        driver.sockets[0].shutdown(socket.SHUT_RDWR)
        fifo.write_text("")
        failed = driver.control.rest()[-1]
        assert failed == SlotFailed(driver.slot_id(), "Socket write error: [Errno 32] Broken pipe")
        assert driver.process.wait(30) == 0


def test_training(tmp_path: Path) -> None:
    model = """
    class Predictor:
        def predict(self) -> str:
            return "predicted"
        def train(self, n: int) -> str:
            if n == 0:
                raise ValueError("zero")
            return "trained"
    """
    with worker(tmp_path, model, is_train=True) as driver:
        driver.wait_ready()
        assert driver.predict(n=1).outputs == ["trained"]
        end = driver.predict("p2", n=0).end
        assert end.error == "ValueError: zero"


def test_context_variables_are_those_of_set_up(tmp_path: Path) -> None:
    model = """
    import contextvars
    at_import = contextvars.ContextVar("at_import")
    at_import.set("import")
    in_setup = contextvars.ContextVar("in_setup")
    class Predictor:
        def setup(self):
            in_setup.set("setup")
        def predict(self, text: str):
            yield at_import.get() + " " + in_setup.get()
            at_import.set(text)
            in_setup.set(text)
            yield at_import.get() + " " + in_setup.get()
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        for text in ("a", "b"):
            assert driver.predict(text, text=text).outputs == ["import setup", f"{text} {text}"]
