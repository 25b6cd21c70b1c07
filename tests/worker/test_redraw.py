"""Lines that are drawn again and again: what of a progress bar gets into a log."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from protocol.messages import LogLine, LogSource
from tests.worker.driver import worker
from worker.redraw import drawing, last_drawing, settled

if TYPE_CHECKING:
    from pathlib import Path

BAR = """
import sys, time
def bar(stream, steps=50, end="\\n", pause=0.0):
    "Writes what tqdm does: each state over the last, flushed, and at the end a newline."
    for step in range(steps + 1):
        stream.write(f"\\r{step * 100 // steps:3}%|{'#' * step}")
        stream.flush()
        time.sleep(pause)
    stream.write(end)
    stream.flush()
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", "plain"),
        ("plain \t", "plain \t"),
        ("windows\r", "windows\r"),
        ("\r10%\r20%", "20%"),
        ("\r10% slow\r20%     ", "20%"),
        ("10%\r20%\r", "20%"),
        ("\r10%\r       \r", ""),
        ("\r10%\r       \rwritten", "written"),
    ],
)
def test_what_is_left_of_a_line(line: str, expected: str) -> None:
    assert settled(line) == expected
    assert settled(last_drawing(line)) == expected
    if not line.startswith(("plain", "windows")):
        assert drawing(line) == expected


def test_what_is_kept_of_a_long_drawing_is_short() -> None:
    line = ""
    for step in range(1000):
        line = last_drawing(line + f"\r{step}%")
    assert line == "\r999%"


# However slow the machine is, a bar is quick: it is not shown while it is drawn.
QUICK = """
import subprocess
type(sys.stdout._router.nobody)._take.__globals__["_SHOW_EVERY"] = 600.0
"""


def run(tmp_path: Path, body: str, files: dict[str, str] | None = None) -> list[LogLine]:
    """The log messages of one prediction whose body is `body`."""
    for name, source in (files or {}).items():
        (tmp_path / name).write_text(source)
    lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
    model = f"{BAR}{QUICK}class Predictor:\n    def predict(self):\n{lines}"
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        return driver.predict().all(LogLine)


def text(messages: list[LogLine]) -> str:
    return "".join(message.data for message in messages)


FULL = f"100%|{'#' * 50}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("bar(sys.stderr)", FULL + "\n"),
        ("bar(sys.stdout, end='')", FULL),
        ("bar(sys.stderr, end='\\r' + ' ' * 60 + '\\r'); print('after')", "after\n"),
        ("bar(sys.stderr); bar(sys.stderr, 1)", FULL + "\n100%|#\n"),
        ("for step in '123': print(step, end='\\r')\nprint()", "3\n"),
        ("print('before', end=''); bar(sys.stderr)", f"before{FULL}\n"),
        ("sys.stderr.write('\\r 1%'); print('between'); sys.stderr.write('\\r 2%\\n')",
         "between\n 2%\n"),
        ("sys.stdout.buffer.write(b'\\r1%\\r2%\\n')", "2%\n"),
        ("print('dos\\r')", "dos\r\n"),
        ("print('\\n\\rlast')", "\nlast\n"),
    ],
)  # fmt: skip
def test_only_the_last_state_of_a_quick_bar_is_logged(
    tmp_path: Path, body: str, expected: str
) -> None:
    assert text(run(tmp_path, body)) == expected


def test_a_bar_of_a_subprocess_too(tmp_path: Path) -> None:
    script = BAR + "bar(sys.stderr)\nprint('after', flush=True)\n"
    body = f"subprocess.run([{sys.executable!r}, 'bar.py'], check=True)"
    assert text(run(tmp_path, body, {"bar.py": script})) == FULL + "\nafter\n"


SLOW = """
import os, sys, time
step = 0
while not os.path.exists("seen"):
    step += 1
    sys.stderr.write(f"\\r{step}%|{'#' * step}")
    sys.stderr.flush()
    time.sleep(0.01)
sys.stderr.write("\\r100%\\n")
"""


@pytest.mark.parametrize("run", ["exec(SLOW)", "subprocess.run([sys.executable, '-c', SLOW])"])
def test_a_slow_bar_is_shown_about_once_a_second(tmp_path: Path, run: str) -> None:
    model = f"""
import subprocess, sys, time
SLOW = {SLOW!r}
class Predictor:
    def predict(self):
        began = time.monotonic()
        {run}
        print("seconds", time.monotonic() - began)
"""
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        messages = [driver.slots[0].next(), driver.slots[0].next()]
        (tmp_path / "seen").touch()
        *states, last, seconds = (text(messages) + driver.result().logs).splitlines()
    assert last == "100%"
    assert 2 <= len(states) <= float(seconds.removeprefix("seconds "))
    for state in states:
        percent, drawn = state.split("%|")
        assert int(percent) == len(drawn)


def test_a_state_that_was_shown_does_not_come_again_at_the_end(tmp_path: Path) -> None:
    model = """
    import sys
    class Predictor:
        def predict(self, go: str):
            sys.stderr.write("\\r100%")
            open(go).close()
            sys.stderr.write("\\n")
            print("end")
    """
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start(go=str(fifo))
        driver.wait_for_log("100%\n")
        fifo.write_text("")
        assert driver.result().logs == "end\n"


def test_the_stream_of_a_state_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, "bar(sys.stderr)") == [LogLine(LogSource.STDERR, FULL + "\n")]
