"""Children of the model: subprocesses, `multiprocessing`, bare forks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.messages import Cancelled, Done
from tests.worker.driver import worker

if TYPE_CHECKING:
    from pathlib import Path

POOL = """
import multiprocessing, os, sys, threading
from coglet._sdk import current_scope

def work(number):
    print("child", number)
    sys.stderr.write("partial")
    current_scope().record_metric("from_child", 1)
    return number * 2

class Predictor:
    def predict(self, method: str):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            results = pool.map(work, range(4))
            pool.close()
            pool.join()
        print("parent")
        return sum(results)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    model = POOL
    if method != "fork":  # a fresh interpreter has no `coglet`, unless the wheel is installed
        model = model.replace("from coglet._sdk import current_scope", "")
        model = model.replace('    current_scope().record_metric("from_child", 1)\n', "")
    with worker(tmp_path, model, environment={"PYTHONUNBUFFERED": ""}) as driver:
        driver.wait_ready()
        for number in range(2):
            result = driver.predict(f"p{number}", method=method)
            assert isinstance(result.end, Done), result.end
            assert result.outputs == [12]
            assert result.metrics == []
            for child in range(4):
                assert f"child {child}\n" in result.logs
            assert result.logs.count("partial") == 4
            assert result.logs.endswith("parent\n")
        driver.shutdown()


COMES_BACK = """
    import os, pathlib, sys
    class Predictor:
        {head}
            child = os.fork()
            if not child:
                {statement}
            _, status = os.waitpid(child, 0)
            {give} [os.waitstatus_to_exitcode(status), file.read_text()]
"""
SYNC = "def predict(self, file: pathlib.Path):"
HIDDEN = "def predict(self, file: pathlib.Path): return self.work(file)\n"


@pytest.mark.parametrize(
    ("head", "slots"),
    [
        (SYNC, 1),
        (SYNC, 2),
        (f"async {SYNC}", 1),
        (f"{HIDDEN}        async def work(self, file):", 1),
    ],
    ids=["sync", "threads", "async", "hidden"],
)
@pytest.mark.parametrize(
    ("statement", "code", "last_line"),
    [
        ("return 'from the child'", 0, None),
        ("yield 'from the child'; print('never')", 0, None),
        ("sys.exit()", 0, None),
        ("sys.exit(3)", 3, None),
        ("sys.exit('sorry')", 1, "sorry"),
        ("raise ValueError('child')", 1, "ValueError: child"),
    ],
)
def test_a_child_that_comes_back_from_the_prediction(
    tmp_path: Path, head: str, slots: int, statement: str, code: int, last_line: str | None
) -> None:
    """It answers nothing, removes no file of the prediction's, and ends as a program does."""
    give = "yield" if "yield" in statement else "return"
    model = COMES_BACK.format(head=head, statement=statement, give=give)
    with worker(tmp_path, model, slots=slots, options={"concurrency": "threads"}) as driver:
        driver.wait_ready()
        for number in range(2):
            result = driver.predict(f"p{number}", file="data:text/plain,input")
            assert result.end.is_stream, result.end
            assert result.outputs == ([[code, "input"]] if give == "yield" else [code, "input"])
        driver.shutdown()
        logs = (result.logs + driver.worker_log).splitlines()
        assert logs[-1:] == ([last_line] if last_line else [])
        if last_line == "ValueError: child":
            assert logs[-4] == "Traceback (most recent call last):"
            assert "predict.py" in logs[-3]


@pytest.mark.parametrize("method", ["setup", "teardown"])
@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("predict", ["def", "async def"])
def test_a_child_that_comes_back_from_set_up_or_teardown(
    tmp_path: Path, method: str, kind: str, predict: str
) -> None:
    model = f"""
    import os
    class Predictor:
        {predict} predict(self):
            return os.getpid()
        {kind} {method}(self):
            child = os.fork()
            if not child:
                raise ValueError("child")
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status))
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [driver.process.pid]
        driver.shutdown()
        log = driver.worker_log.splitlines()
        assert log[-2:] == ["ValueError: child", "1"]
        assert log[0] == "Traceback (most recent call last):"


def test_a_lock_that_is_held_at_the_fork_does_not_hold_the_child(tmp_path: Path) -> None:
    model = """
    import os, threading
    class Predictor:
        def predict(self):
            stop = threading.Event()
            def flood():
                while not stop.is_set():
                    print("flood " * 100)
            threads = [threading.Thread(target=flood) for _ in range(3)]
            for thread in threads:
                thread.start()
            for number in range(50):
                child = os.fork()
                if not child:
                    print("child", number, flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
            stop.set()
            for thread in threads:
                thread.join()
            return "ok"
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == ["ok"]
        for number in range(50):
            assert f"child {number}\n" in result.logs


def test_a_child_of_an_async_model(tmp_path: Path) -> None:
    model = """
    import asyncio, multiprocessing
    def work(queue):
        print("child")
        queue.put("result")
    class Predictor:
        async def predict(self):
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            process = context.Process(target=work, args=(queue,))
            process.start()
            result = await asyncio.to_thread(queue.get)
            await asyncio.to_thread(process.join)
            return result
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == ["result"]
        assert result.logs == "child\n"
        driver.shutdown()


def test_children_hold_nothing_of_the_wire(tmp_path: Path) -> None:
    """Neither a forked child nor a subprocess that inherits all it can."""
    model = """
    import os, subprocess, sys
    LIST = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"
    class Predictor:
        def predict(self):
            own = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                   if os.path.islink(f"/proc/self/fd/{fd}")}
            assert own["0"] == "/dev/null"
            assert own["1"] == own["2"]
            sockets = [fd for fd, target in own.items() if target.startswith("socket:")]
            pipes = [fd for fd, target in own.items() if target.startswith("pipe:")]
            assert len(sockets) == 1
            assert all(int(fd) >= 100 or fd in "12" for fd in sockets + pipes)
            for fd in own:
                if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}"):
                    assert not os.get_inheritable(int(fd)), fd
            subprocess.run([sys.executable, "-c", LIST], close_fds=False, check=True)
            read, write = os.pipe()
            child = os.fork()
            if not child:
                left = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
                        if os.path.islink(f"/proc/self/fd/{fd}")]
                mine = [each for each in left if each in
                        {own[fd] for fd in (*sockets, *pipes) if fd not in "12"}]
                os.write(write, repr([each for each in mine if each != own["1"]]).encode())
                os._exit(0)
            os.waitpid(child, 0)
            return os.read(read, 1000).decode()
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert isinstance(result.end, Done), result.end
        assert result.logs == "['0', '1', '2', '3']\n"  # 3 is the listing's own
        assert result.outputs == ["[]"]


def test_a_child_that_reads_stdin_eats_no_control_frames(tmp_path: Path) -> None:
    model = """
    import subprocess, sys
    class Predictor:
        def predict(self):
            assert sys.stdin.read() == ""
            print("reading")
            subprocess.run(["cat"], check=True)
            subprocess.run(["sleep", "600"])
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.start()
        driver.wait_for_log("reading")
        driver.cancel()
        assert driver.result().end == Cancelled("p1")
