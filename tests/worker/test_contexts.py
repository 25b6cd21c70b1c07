"""What runs in threads and executors belongs to the prediction that started it: real workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Done, Idle
from tests.worker.driver import worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.worker.driver import Driver

MODEL = """
import asyncio, contextvars, threading, time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from coglet._sdk import current_scope

pool = ThreadPoolExecutor(1)
thread_pool = ThreadPool(1)
pool_of_a_prediction = []
mine = contextvars.ContextVar("mine", default="nothing")

def say(name):
    print("from", name, current_scope().context.get("who"))
    current_scope().record_metric("name", name)
    return mine.get()

class Derived(threading.Thread):
    def __init__(self, name):
        super().__init__()
        self.who = name
    def run(self):
        say(self.who)

def in_thread(name):
    thread = threading.Thread(target=say, args=(name,))
    thread.start()
    thread.join()
    assert "run" not in vars(thread)

def in_derived(name):
    thread = Derived(name)
    thread.start()
    thread.join()

def in_replaced(name):
    thread = threading.Thread()
    thread.run = lambda: say(name)
    thread.start()
    thread.join()

def in_nested(name):
    thread = threading.Thread(target=in_thread, args=(name,))
    thread.start()
    thread.join()

def in_timer(name):
    timer = threading.Timer(0.0, say, (name,))
    timer.start()
    timer.join()

def in_pool(name):
    pool.submit(say, name).result()

def in_map(name):
    list(pool.map(say, [name]))

def in_apply(name):
    thread_pool.apply(say, (name,))

def in_apply_async(name):
    thread_pool.apply_async(func=say, args=(name,)).get()

def in_pool_map(name):
    thread_pool.map(say, [name])

def in_map_async(name):
    thread_pool.map_async(say, [name]).get()

def in_starmap(name):
    thread_pool.starmap(say, [(name,)])

def in_starmap_async(name):
    thread_pool.starmap_async(say, [(name,)]).get()

def in_imap(name):
    list(thread_pool.imap(say, [name]))

def in_imap_unordered(name):
    list(thread_pool.imap_unordered(say, [name], chunksize=2))

def in_pool_of_a_prediction(name):
    if not pool_of_a_prediction:
        pool_of_a_prediction.append(ThreadPool(1))
    pool_of_a_prediction[0].map(say, [name])

class Predictor:
    {kind} predict(self, way: str, name: str):
        mine.set("the model's own, for its own thread")
        if way == "executor":
            assert await asyncio.get_running_loop().run_in_executor(None, say, name) == "nothing"
        elif way == "pool of the loop":
            await asyncio.get_running_loop().run_in_executor(pool, say, name)
        elif way == "to_thread":
            assert await asyncio.to_thread(say, name) == mine.get()
        else:
            globals()["in_" + way](name)
"""
WAYS = ["thread", "derived", "replaced", "nested", "timer", "pool", "map"]
WAYS += ["apply", "apply_async", "pool_map", "map_async", "starmap", "starmap_async"]
WAYS += ["imap", "imap_unordered", "pool_of_a_prediction"]
ASYNC_WAYS = [*WAYS, "executor", "pool of the loop", "to_thread"]


def check(driver: Driver, way: str, name: str, slot: int) -> None:
    result = driver.predict(name, slot, way=way, name=name)
    assert isinstance(result.end, Done), result.end
    assert result.logs == f"from {name} None\n", way
    assert [metric.value for metric in result.metrics] == [name], way


@pytest.mark.parametrize(
    ("kind", "slots", "ways"),
    [("def", 1, WAYS), ("async def", 1, ASYNC_WAYS), ("async def", 2, ASYNC_WAYS)],
)
def test_all_that_runs_elsewhere_is_the_predictions(
    tmp_path: Path, kind: str, slots: int, ways: list[str]
) -> None:
    """The threads of pools too, whoever has used them before: each way is gone twice."""
    model = MODEL.replace("{kind}", kind)
    if kind == "def":
        model = model.replace("await ", "")
    with worker(tmp_path, model, slots=slots) as driver:
        driver.wait_ready()
        before = len(driver.worker_log)
        for number, way in enumerate(ways * 2):
            check(driver, way, f"{way}-{number}", number % slots)
        assert driver.worker_log[before:] == ""


SEVERAL = """
import asyncio, concurrent.futures, threading
import coglet

pool = concurrent.futures.ThreadPoolExecutor(1)
together = asyncio.Barrier(2)

def work(name, how):
    print(f"{name} in {how}")
    coglet._sdk.current_scope().record_metric(how, name)
    return name

class Predictor:
    def setup(self):
        pool.submit(print, "setting up").result()

    async def predict(self, name: str) -> str:
        await together.wait()
        loop = asyncio.get_running_loop()
        thread = threading.Thread(target=work, args=(name, "thread"))
        thread.start()
        await loop.run_in_executor(None, work, name, "executor")
        await loop.run_in_executor(pool, work, name, "shared")
        await asyncio.to_thread(work, name, "to_thread")
        thread.join()
        await together.wait()
        return name
"""


def test_threads_and_executors_belong_to_the_prediction_that_uses_them(tmp_path: Path) -> None:
    with worker(tmp_path, SEVERAL, slots=2) as driver:
        driver.wait_ready()
        assert driver.setup_log == "setting up\n"
        for round_ in range(3):
            for slot, name in enumerate("ab"):
                driver.start(f"{name}{round_}", slot, name=name)
            for slot, name in enumerate("ab"):
                result = driver.result(slot)
                hows = ["executor", "shared", "thread", "to_thread"]
                assert sorted(result.logs.splitlines()) == [f"{name} in {how}" for how in hows]
                recorded = sorted((metric.name, metric.value) for metric in result.metrics)
                assert recorded == [(how, name) for how in hows]
            driver.control.until(Idle)
            driver.control.until(Idle)
        assert "in" not in driver.worker_log.replace("setting up", "")


OUTLIVING = """
import asyncio, threading
from coglet._sdk import current_scope

def wait_and_say(go, name):
    with open(go) as file:
        file.read()
    current_scope().record_metric("late", name)
    print("late", name)
    print("unfinished", end="")

class Predictor:
    def setup(self):
        self.lines = []
        self.wake = threading.Semaphore(0)
        threading.Thread(target=self.serve, daemon=True).start()
        self.done = threading.Semaphore(0)
    def serve(self):
        while True:
            self.wake.acquire()
            print("thread of set-up")
            self.done.release()
    {kind} predict(self, go: str = "", ask: bool = False, wait: str = ""):
        if go:
            threading.Thread(target=wait_and_say, args=(go, "thread"), daemon=True).start()
        if ask:
            self.wake.release()
            self.done.acquire()
        if wait:
            print("begun")
            open(wait).read()
"""


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_what_outlives_its_prediction_writes_into_no_other(tmp_path: Path, kind: str) -> None:
    go, wait = tmp_path / "go", tmp_path / "wait"
    os.mkfifo(go)
    os.mkfifo(wait)
    with worker(tmp_path, OUTLIVING.replace("{kind}", kind)) as driver:
        driver.wait_ready()
        assert driver.predict("p1", go=str(go)).logs == ""
        driver.start("p2", wait=str(wait))
        driver.wait_for_log("begun")
        go.write_text("")
        while "late thread\n" not in driver.worker_log:
            driver.control.next()
        wait.write_text("")
        result = driver.result()
        assert result.logs == ""
        assert result.metrics == []


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_threads_of_set_up_belong_to_the_only_running_prediction(tmp_path: Path, kind: str) -> None:
    with worker(tmp_path, OUTLIVING.replace("{kind}", kind)) as driver:
        driver.wait_ready()
        for name in ("p1", "p2"):
            assert driver.predict(name, ask=True).logs == "thread of set-up\n"


def test_a_pool_of_set_up_that_works_for_nobody_is_nobodys(tmp_path: Path) -> None:
    """Its thread was started by a prediction, but what it does now was not handed over by one."""
    model = """
    import threading
    from concurrent.futures import ThreadPoolExecutor
    pool = ThreadPoolExecutor(1)
    wake = threading.Semaphore(0)
    class Predictor:
        def setup(self):
            def hand_over():
                while True:
                    wake.acquire()
                    pool.submit(print, "between")
            threading.Thread(target=hand_over, daemon=True).start()
        def predict(self, go: bool = False):
            pool.submit(print, "own").result()
            if go:
                wake.release()
                while True:
                    pass
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict("p1").logs == "own\n"
        driver.start("p2", go=True)
        driver.wait_for_log("between")
        driver.cancel("p2")
        assert driver.result().logs == ""


def test_a_thread_that_cannot_start_is_what_it_was(tmp_path: Path) -> None:
    model = """
    import threading
    class Predictor:
        def predict(self):
            thread = threading.Thread(target=print, args=["ran"])
            before = threading.stack_size(2**46)    # more than any address space
            try:
                thread.start()
            except RuntimeError as error:
                print(error, "run" in vars(thread))
            threading.stack_size(before)
            thread.start()
            thread.join()
            try:
                thread.start()
            except RuntimeError as error:
                print(error, "run" in vars(thread))
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().logs == (
            "can't start new thread False\nran\nthreads can only be started once False\n"
        )


def test_exceptions_and_results_come_back(tmp_path: Path) -> None:
    model = """
    from concurrent.futures import ThreadPoolExecutor
    class Predictor:
        def predict(self):
            with ThreadPoolExecutor(2) as pool:
                good = pool.submit(pow, 2, exp=10)
                bad = pool.submit(int, "x")
            return [good.result(), type(bad.exception()).__name__]
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [1024, "ValueError"]


HEALTHCHECK = """
import asyncio
from coglet._sdk import current_scope
class Predictor:
    {check} healthcheck(self):
        current_scope().record_metric("from_check", 1)
        print("check of", current_scope().context)
        {wait}
        print("again")
        return True
    {kind} predict(self, wait: str):
        print("begun")
        {read}
"""


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("check", ["def", "async def"])
def test_a_healthcheck_belongs_to_no_prediction(tmp_path: Path, check: str, slots: int) -> None:
    is_async = slots > 1 or check == "async def"
    model = (
        HEALTHCHECK.replace("{check}", check)
        .replace("{kind}", "async def" if is_async else "def")
        .replace("{wait}", "await asyncio.sleep(0)" if check != "def" else "pass")
        .replace("{read}", "await asyncio.to_thread(lambda: open(wait).read())"
                 if is_async else "open(wait).read()")
    )  # fmt: skip
    wait = tmp_path / "wait"
    os.mkfifo(wait)
    with worker(tmp_path, model, slots=slots) as driver:
        driver.wait_ready()
        driver.start(wait=str(wait))
        driver.wait_for_log("begun")
        assert driver.healthcheck().error is None
        wait.write_text("")
        result = driver.result()
        assert result.logs == ""
        assert result.metrics == []
        driver.wait_idle()
        assert driver.worker_log.endswith("check of {}\nagain\n")
