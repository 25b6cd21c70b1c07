"""What reaches a prediction's log, whoever writes it: real workers, real pipes."""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING

import pytest

from protocol.limits import LOG_MAX, LOG_TRUNCATED_NOTICE
from protocol.messages import Done, LogLine, LogSource
from tests.worker.driver import DEADLINE, worker
from worker.capture import Capture
from worker.channel import FrameWriter
from worker.later import Later
from worker.logs import LogRouter
from worker.sink import LogSink
from worker.streams import LogStream

if TYPE_CHECKING:
    from pathlib import Path

# Where everything is slow, order is given up after half a second: not here.
PREAMBLE = """
import codecs, ctypes, io, logging, os, subprocess, sys, threading, time, warnings
type(sys.stdout._capture).catch_up.__globals__["_CATCH_UP"] = 30.0
libc = ctypes.CDLL(None)
class Predictor:
    def predict(self):
"""


def run(tmp_path: Path, body: str) -> list[LogLine]:
    """The log messages of one prediction whose body is `body`."""
    lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
    with worker(tmp_path, PREAMBLE + lines) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert isinstance(result.end, Done), result.end
        return result.all(LogLine)


def text(messages: list[LogLine]) -> str:
    return "".join(message.data for message in messages)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("print('a'); print('b', file=sys.stderr); print('c')", "a\nb\nc\n"),
        ("print('no newline', end='')", "no newline"),
        ("print('a', end=''); print('b', end='', file=sys.stderr)", "ab"),
        ("print('a', end='', flush=True); print('b', file=sys.stderr)", "ab\n"),
        ("print('a', end=''); print('b', file=sys.stderr); print('c')", "ab\nc\n"),
        ("sys.stdout.writelines(['a\\n', 'b\\n'])", "a\nb\n"),
        ("sys.stdout.buffer.write(b'by'); sys.stdout.buffer.write(b'tes')", "bytes"),
        ("sys.stdout.buffer.write('é'.encode()[:1]); sys.stdout.buffer.write(b'\\xa9')", "é"),
        ("sys.stdout.buffer.write(b'\\xc3')", "\ufffd"),
        ("sys.__stdout__.write('double underscore')", "double underscore"),
        ("print('\\ud800')", "?\n"),
        ("os.write(1, b'one\\n'); os.write(2, b'two\\n')", "one\ntwo\n"),
        ("os.write(1, b'\\xc3'); time.sleep(0.1); os.write(1, b'\\xa9')", "é"),
        ("libc.puts(b'from C')", "from C\n"),
        ("libc.printf(b'no newline')", "no newline"),
        ("os.system('echo shell')", "shell\n"),
        ("print('1'); subprocess.run(['echo', '2']); print('3')", "1\n2\n3\n"),
        ("print('1'); libc.puts(b'2'); print('3')", "1\n2\n3\n"),
        (
            "print('a', end=''); os.write(1, b'[fd]\\n'); print('b', file=sys.stderr); print('c')",
            "a[fd]\nb\nc\n",
        ),
        ("print('a', end=''); os.write(1, b'b'); print()", "ab\n"),
        ("print('a', end=' '); os.write(1, b'b'); print('c')", "a bc\n"),
        ("print('a', end='', file=sys.stderr); os.write(1, b'b'); print('c')", "abc\n"),
        ("sys.stdout.write('a'); os.write(1, b'b'); sys.stdout.write('c\\n')", "abc\n"),
        ("print('a', end=''); os.write(1, b'b')", "ab"),
        ("os.write(1, b'a'); print('b', end=''); libc.printf(b'c')", "abc"),
        ("t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()", "thread\n"),
        ("logging.basicConfig(level='INFO'); logging.info('hi')", "INFO:root:hi\n"),
        ("warnings.warn('careful', stacklevel=2)", "UserWarning: careful"),
        ("sys.stdout.close(); print('still open')", "still open\n"),
        ("sys.stdout.reconfigure(encoding='latin-1'); print('é')", "é\n"),
        ("sys.stdout = io.TextIOWrapper(sys.stdout.buffer); print('late')", "late\n"),
        ("sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer); print('é')", "é\n"),
        ("sys.stdout = None; print('nowhere')", ""),
        ("sys.stdout = sys.__stdout__; print('restored')", "restored\n"),
        ("os.write(1, b'x' * 1000000); print('end')", "x" * 1000000 + "end\n"),
        ("subprocess.run('yes | head -c 1000000', shell=True)", "y\n" * 500000),
    ],
)
def test_it_arrives(tmp_path: Path, body: str, expected: str) -> None:
    messages = run(tmp_path, body)
    if body.startswith("warnings"):
        assert expected in text(messages)
    else:
        assert text(messages) == expected


def test_the_source_is_told(tmp_path: Path) -> None:
    messages = run(tmp_path, "print('out'); print('err', file=sys.stderr)")
    assert messages == [LogLine(LogSource.STDOUT, "out\n"), LogLine(LogSource.STDERR, "err\n")]


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    messages = run(tmp_path, "print('x' * 5_000_000); print('next')")
    expected = "x" * (LOG_MAX - len(LOG_TRUNCATED_NOTICE)) + LOG_TRUNCATED_NOTICE
    assert text(messages) == expected + "\nnext\n"


def test_many_lines_at_once_are_not_cut(tmp_path: Path) -> None:
    messages = run(tmp_path, "sys.stdout.write('line\\n' * 2_000_000)")
    assert text(messages) == "line\n" * 2_000_000


def test_characters_that_json_writes_long_still_fit_in_a_frame(tmp_path: Path) -> None:
    messages = run(tmp_path, "print('\\x01' * 3_000_000)")
    assert text(messages) == "\x01" * 3_000_000 + "\n"


def test_streams_look_like_streams(tmp_path: Path) -> None:
    body = """
for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
    assert isinstance(stream, io.TextIOBase)
    assert stream.fileno() == stream.buffer.fileno() == number
    assert stream.writable() and not stream.readable() and not stream.isatty()
    assert stream.encoding == 'utf-8' and not stream.closed and stream.line_buffering
    assert stream.write('héé') == 3
    assert stream.buffer.write(b'abc') == 3
    assert stream.errors and stream.newlines is None and stream.name
    for wrong in (b'bytes', None, 3):
        try:
            stream.write(wrong)
        except TypeError as error:
            assert str(error).startswith('write() argument must be str, not ')
        else:
            raise AssertionError
"""
    assert text(run(tmp_path, body)) == "hééabchééabc"


def test_print_is_pythons_own_as_far_as_a_model_can_tell(tmp_path: Path) -> None:
    body = """
import builtins, copy, inspect, pickle
assert pickle.loads(pickle.dumps(print)) is print is builtins.print is copy.deepcopy(print)
assert print.__self__ is builtins
assert repr(print) == "<built-in function print>"
class Logger:
    log = print  # a builtin function does not become a method
Logger().log("from a class")
real, builtins.print = print, lambda *values: real("patched", *values)
print("too")
builtins.print = real
assert (print.__module__, print.__name__, print.__qualname__) == ("builtins", "print", "print")
assert list(inspect.signature(print).parameters) == ["args", "sep", "end", "file", "flush"]
class Value:
    def __str__(self):
        return "str"
    def __repr__(self):
        return "repr"
class Text(str):
    def __str__(self):
        return "own"
print()
print(1, None, "é", Value(), Text("text"), [Value()], sep="-", end="!\\n")
print("a", "b", sep=None, end=None)
print("to", "stderr", file=sys.stderr, flush=True)
elsewhere = io.StringIO()
print("x", 1, file=elsewhere)
assert elsewhere.getvalue() == "x 1\\n"
for wrong, words in (
    ({"sep": 5}, "sep must be None or a string, not int"),
    ({"end": b""}, "end must be None or a string, not bytes"),
    ({"strange": 1}, "strange"),
):
    try:
        print("wrong", **wrong)
    except TypeError as error:
        assert words in str(error), error
    else:
        raise AssertionError
sys.stdout.write("quiet\\n")
"""
    expected = "from a class\npatched too\n\n1-None-é-str-own-[repr]!\na b\nto stderr\nquiet\n"
    assert text(run(tmp_path, body)) == expected


def test_reconfigure_can_be_read_back(tmp_path: Path) -> None:
    body = """
sys.stdout.reconfigure(encoding="latin-1", errors="strict", line_buffering=False, newline="")
out, err = sys.stdout, sys.stderr
assert (out.encoding, out.errors, out.line_buffering) == ("latin-1", "strict", False)
assert (err.encoding, err.errors, err.line_buffering) == ("utf-8", "backslashreplace", True)
for wrong in ({"encoding": "no such"}, {"errors": "no such"}):
    try:
        sys.stdout.reconfigure(**wrong)
    except LookupError:
        pass
    else:
        raise AssertionError
assert (out.encoding, out.errors) == ("latin-1", "strict")
print("\u20ac")
"""
    assert text(run(tmp_path, body)) == "\u20ac\n"


def test_a_line_that_was_begun_before_a_subprocess_wrote_comes_before(tmp_path: Path) -> None:
    """Also if nothing more is printed for a while."""
    model = """
    import os
    class Predictor:
        def predict(self, wait: str):
            print("begun, ", end="")
            os.write(1, b"written\\n")
            open(wait).read()
            print("ended")
    """
    wait = tmp_path / "wait"
    os.mkfifo(wait)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(wait=str(wait))
        driver.wait_for_log("written\n")
        wait.write_text("")
        driver.result()
        logs = [message.data for message in driver.slots[0].history if type(message) is LogLine]
        assert "".join(logs) == "begun, written\nended\n"


def test_a_flood_goes_out_in_few_messages_and_all_of_it_soon(tmp_path: Path) -> None:
    model = """
    import time
    class Predictor:
        def predict(self, wait: str):
            began = time.monotonic()
            for number in range(20_000):
                print("line", number)
            seconds = time.monotonic() - began
            open(wait).read()
            return seconds
    """
    wait = tmp_path / "wait"
    os.mkfifo(wait)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(wait=str(wait))
        driver.wait_for_log("line 19999\n")
        wait.write_text("")
        result = driver.result()
        assert result.logs == ""
        messages = [each for each in driver.slots[0].history if type(each) is LogLine]
        assert text(messages) == "".join(f"line {number}\n" for number in range(20_000))
        (seconds,) = result.outputs
        # 20 at once and one of what has waited in every 10 ms, and one for every 16 KiB.
        assert len(messages) < 200 + 2_500 * seconds


def test_logs_come_before_what_follows_them(tmp_path: Path) -> None:
    model = """
    from coglet._sdk import current_scope
    class Predictor:
        def predict(self) -> "Iterator[int]":
            for number in range(300):
                print("a", number)
                yield number
                print("b", number)
                current_scope().record_metric("m", number)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        seen = ""
        for message in driver.predict().messages[:-1]:
            if type(message) is LogLine:
                seen += message.data
            else:
                number = getattr(message, "output", None)
                letter, value = ("b", message.value) if number is None else ("a", number)
                assert seen.endswith(f"{letter} {value}\n")


def test_the_lines_before_a_crash_arrive(tmp_path: Path) -> None:
    model = """
    import os
    class Predictor:
        def predict(self):
            for number in range(5):
                print("line", number)
            os.abort()
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("line 4\n")


WRAPPED = """
import io, sys
class Predictor:
    def setup(self):
        for name in ("stdout", "stderr"):
            setattr(sys, name, io.TextIOWrapper(getattr(sys, name).buffer, encoding="utf-8"))
    {kind} predict(self, text: str, flush: bool = False):
        print("out", text)
        print("err", text, file=sys.stderr)
        if flush:
            sys.stdout.flush()
"""


def test_a_stream_of_the_models_own_keeps_nothing_for_the_next_prediction(tmp_path: Path) -> None:
    with worker(tmp_path, WRAPPED.replace("{kind}", "def")) as driver:
        driver.wait_ready()
        for name in ("a", "b", "c"):
            assert driver.predict(name, text=name).logs == f"out {name}\nerr {name}\n"


def test_with_several_slots_what_it_keeps_back_is_nobodys(tmp_path: Path) -> None:
    with worker(tmp_path, WRAPPED.replace("{kind}", "async def"), slots=2) as driver:
        driver.wait_ready()
        for slot, name in ((0, "a"), (1, "b"), (0, "c")):
            assert driver.predict(name, slot, text=name, flush=name == "b").logs == ""
        driver.shutdown()
        for name in "abc":
            assert f"out {name}\n" in driver.worker_log
            assert f"err {name}\n" in driver.worker_log


def test_with_several_slots_the_binary_side_is_the_predictions(tmp_path: Path) -> None:
    model = """
    import sys
    class Predictor:
        async def predict(self, name: str):
            sys.stdout.buffer.write(name.encode())
    """
    with worker(tmp_path, model, slots=2) as driver:
        driver.wait_ready()
        for slot, name in enumerate("ab"):
            assert driver.predict(slot=slot, name=name).logs == name


def test_a_stream_of_the_models_own_that_cannot_be_flushed_does_no_harm(tmp_path: Path) -> None:
    model = """
    import sys
    class Broken:
        def write(self, text):
            return len(text)
        def flush(self):
            raise SystemExit("broken")
    class Predictor:
        def setup(self):
            sys.stdout = Broken()
        def predict(self):
            return "ok"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        for name in ("p1", "p2"):
            result = driver.predict(name)
            assert result.outputs == ["ok"]
            assert result.logs == "sys.stdout.flush() raised SystemExit: broken\n"


def test_partial_lines_stay_with_their_prediction(tmp_path: Path) -> None:
    model = """
    import sys
    class Predictor:
        def predict(self, text: str):
            sys.stdout.write(text)
            sys.stderr.write(text)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        for name in ("a", "b", "c"):
            assert driver.predict(name, text=name).logs == name * 2


def test_what_a_subprocess_writes_after_the_end_is_nobodys(tmp_path: Path) -> None:
    model = """
    import subprocess
    class Predictor:
        def predict(self, go: str = ""):
            if go:
                subprocess.Popen(f"cat {go}; echo later", shell=True)
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict(go=str(fifo)).logs == ""
        fifo.write_text("")
        while "later\n" not in driver.worker_log:
            driver.control.next()
        assert driver.predict("p2").logs == ""


def test_a_flood_from_many_threads_stays_whole(tmp_path: Path) -> None:
    body = """
def flood(name):
    for number in range(500):
        print(name, number, sep="")
threads = [threading.Thread(target=flood, args=(name,)) for name in "abcd"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    lines = text(run(tmp_path, body)).splitlines()
    assert sorted(lines) == sorted(f"{name}{number}" for name in "abcd" for number in range(500))


def test_signal_handlers_and_finalisers_may_print(tmp_path: Path) -> None:
    body = """
import signal
class Loud:
    def __del__(self):
        print("gone")
signal.signal(signal.SIGALRM, lambda *_: print("tick"))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
for number in range(2000):
    loud = Loud()
    loud.me = loud
    print(f"line {number}")
signal.setitimer(signal.ITIMER_REAL, 0)
"""
    said = text(run(tmp_path, body)).replace("tick", "").replace("gone", "")
    assert [line for line in said.split("\n") if line] == [f"line {n}" for n in range(2000)]


def test_setup_logs_come_before_ready(tmp_path: Path) -> None:
    model = """
    import ctypes, os, subprocess
    class Predictor:
        def setup(self):
            print("1")
            subprocess.run(["echo", "2"])
            ctypes.CDLL(None).printf(b"3")
            os.write(2, b"4")
            print("5", end="")
        def predict(self):
            pass
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert sorted(driver.setup_log.replace("\n", "")) == list("12345")
        assert driver.predict().logs == ""


def test_a_sink_that_would_block_is_not_taken_for_an_empty_pipe() -> None:
    class Blocked:
        def write_captured(self, data: bytes) -> None:
            raise BlockingIOError("the socket of the slot")

    read_end, write_end = os.pipe()
    try:
        os.write(write_end, b"text")
        with pytest.raises(BlockingIOError, match="the socket of the slot"):
            Capture(read_end, Blocked(), print).drain()
    finally:
        os.close(read_end)
        os.close(write_end)


def test_what_was_read_comes_before_what_is_printed_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it is not logged yet when the pipe is empty already."""
    monkeypatch.setattr("worker.capture._CATCH_UP", DEADLINE)
    was_read, waited_for = threading.Event(), threading.Event()

    class SlowRouter(LogRouter):
        def write_captured(self, data: bytes) -> None:
            was_read.set()
            assert waited_for.wait(DEADLINE)
            super().write_captured(data)

    class WatchedCapture(Capture):
        def catch_up(self) -> None:
            waited_for.set()
            super().catch_up()

    logged: list[str] = []

    def frame(_: LogSource, text: str) -> bytes:
        logged.append(text)
        return b"frame"

    router = SlowRouter(LogSink(FrameWriter(len, Later()), frame))
    read_end, write_end = os.pipe()
    try:
        capture = WatchedCapture(read_end, router, print)
        stream = LogStream(LogSource.STDOUT, router, capture, lambda: None, several=False)
        os.write(write_end, b"written\n")
        reading = threading.Thread(target=capture.drain)
        reading.start()
        assert was_read.wait(DEADLINE)
        stream.write("printed\n")
        waited_for.set()
        reading.join()
        assert "".join(logged) == "written\nprinted\n"
    finally:
        os.close(read_end)
        os.close(write_end)


def test_what_was_waited_for_in_vain_is_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a handler or a finaliser that prints, which the reader's own wait may be for."""
    monkeypatch.setattr("worker.capture._CATCH_UP", 0)
    was_read, go_on = threading.Event(), threading.Event()
    logged = []

    class StuckRouter:
        def write_captured(self, data: bytes) -> None:
            logged.append(data)
            was_read.set()
            assert go_on.wait(DEADLINE)

    read_end, write_end = os.pipe()
    capture = Capture(read_end, StuckRouter(), print)
    reading = threading.Thread(target=capture.drain)
    try:
        os.write(write_end, b"one")
        reading.start()
        assert was_read.wait(DEADLINE)
        capture.catch_up()
        monkeypatch.setattr("worker.capture._CATCH_UP", DEADLINE)
        os.write(write_end, b"two")
        capture.catch_up()
        assert logged == [b"one"]
        go_on.set()
        reading.join(DEADLINE)
        capture.catch_up()
        assert logged == [b"one", b"two"]
    finally:
        go_on.set()
        os.close(write_end)
        os.close(read_end)


def test_a_little_is_left_in_the_pipe_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the supervisor finds it, should its writer now end the process."""
    read_end, write_end = os.pipe()
    pauses = []
    logged = []

    class Router:
        turn = None

        def captured(self) -> Router:
            return self

        def settle_all(self) -> None:
            pass

        def write_captured(self, data: bytes) -> None:
            logged.append(data)

    def pause(seconds: float) -> None:
        pauses.append((seconds > 0, bool(capture.waiting(0, 1)), len(logged)))

    monkeypatch.setattr("worker.capture.sleep", pause)
    capture = Capture(read_end, Router(), print)
    try:
        os.write(write_end, b"the reason\n")
        os.close(write_end)
        capture.start()
        for thread in threading.enumerate():
            if thread.name == "coglet-capture":
                thread.join(DEADLINE)
    finally:
        os.close(read_end)
    assert pauses == [(True, True, 0)]
    assert logged == [b"the reason\n"]


def test_a_model_may_replace_sleep(tmp_path: Path) -> None:
    model = """
import os, threading, time
def no(seconds):
    raise RuntimeError("no")
class Predictor:
    def setup(self):
        time.sleep = no
    def predict(self) -> str:
        os.write(1, b"said\\n")
        threading.Event().wait(0.1)  # the pause before it is read is over
        os.write(1, b"much" * 1_000_000)
        return "done"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == ["done"]
        assert result.logs == "said\n" + "much" * 1_000_000


def test_a_worker_whose_supervisor_is_gone_has_its_grace_without_the_models_sleep(
    tmp_path: Path,
) -> None:
    model = """
import threading, time
class Predictor:
    def setup(self):
        time.sleep = lambda seconds: None
    def predict(self):
        try:
            print("begun")
            threading.Event().wait()
        finally:
            threading.Event().wait(0.1)
            open("cleaned up", "x").close()
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("begun")
        assert driver.process.stdin is not None
        driver.process.stdin.close()
        assert driver.process.wait(DEADLINE) == 0
        assert (tmp_path / "cleaned up").exists()


def test_the_death_of_whoever_reads_is_told() -> None:
    class Broken:
        def captured(self) -> None:
            raise ZeroDivisionError

    told: queue.SimpleQueue[str] = queue.SimpleQueue()
    read_end, write_end = os.pipe()
    try:
        Capture(read_end, Broken(), told.put).start()
        os.write(write_end, b"text")
        assert "ZeroDivisionError" in told.get(timeout=DEADLINE)
    finally:
        os.close(read_end)
        os.close(write_end)
