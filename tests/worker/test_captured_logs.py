"""What reaches a prediction's log, whoever writes it: real workers, real pipes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from protocol.limits import LOG_MAX, LOG_TRUNCATED_NOTICE
from protocol.messages import Done, LogLine, LogSource
from tests.worker.driver import worker
from worker.capture import Capture

if TYPE_CHECKING:
    from pathlib import Path

PREAMBLE = """
import ctypes, io, logging, os, subprocess, sys, threading, time, warnings
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
        ("t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()", "thread\n"),
        ("logging.basicConfig(level='INFO'); logging.info('hi')", "INFO:root:hi\n"),
        ("warnings.warn('careful', stacklevel=2)", "UserWarning: careful"),
        ("sys.stdout.close(); print('still open')", "still open\n"),
        ("sys.stdout.reconfigure(encoding='latin-1'); print('é')", "é\n"),
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
        print(f"{name}{number}")
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
            Capture(read_end, Blocked()).drain()
    finally:
        os.close(read_end)
        os.close(write_end)
