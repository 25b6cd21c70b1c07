"""Downloads end when they have to, whatever the server does, and leave nothing behind."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path  # noqa: TC003 - the signatures below are read at run time
from typing import TYPE_CHECKING, Any

import pytest

from protocol.messages import Cancelled, Failed
from tests.worker import slow_server
from tests.worker.driver import worker
from tests.worker.slow_server import RawServer, full_listener, serving
from worker.connections import Connections
from worker.http_libraries import load_http_libraries
from worker.inputs import InputFailure, PreparedInputs, prepared_inputs
from worker.options import Options
from worker.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.worker.driver import Driver

pytestmark = pytest.mark.usefixtures("temporary", "no_proxy")

WAIT = slow_server.WAIT


def run(file: Path) -> None: ...


def run_many(files: list[Path]) -> None: ...


ONE, MANY = signature_of(run), signature_of(run_many)

by_slowness = pytest.mark.parametrize(
    "answer", slow_server.SLOW, ids=[each.__name__ for each in slow_server.SLOW]
)


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """What is loaded at first use takes its time, which is not what these tests are about."""
    load_http_libraries()


def wait_for_threads() -> None:
    """Wait until no download runs in this process."""
    for thread in threading.enumerate():
        if thread.name == "coglet-download":
            thread.join(WAIT)
            assert not thread.is_alive()


def late(url: str, seconds: float) -> str:
    """How a download fails that takes longer than it may."""
    with pytest.raises(InputFailure) as caught:
        prepared_inputs(ONE, {"file": url}, Options(download_timeout=seconds)).__enter__()
    return str(caught.value)


# --- the deadline -----------------------------------------------------------------------------


@by_slowness
def test_the_deadline_holds(answer: Callable[..., None], temporary: Path) -> None:
    with serving(answer) as server:
        text = late(f"{server.url}/x", 0.3)
        assert text == f"file: {server.url}/x: not done after 0.3 seconds (--download-timeout)"
        server.wait_until_gone()
        wait_for_threads()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("answer", [slow_server.slow_tls, slow_server.silent])
def test_the_deadline_holds_in_tls(answer: Callable[..., None]) -> None:
    with serving(answer) as server:
        url = server.url.replace("http:", "https:")
        assert "not done after 0.3 seconds" in late(f"{url}/x", 0.3)
        server.wait_until_gone()
        wait_for_threads()


def test_the_deadline_holds_while_nobody_takes_the_connection() -> None:
    with full_listener() as url:
        assert "not done after 0.2 seconds" in late(url, 0.2)
        wait_for_threads()


def test_the_deadline_holds_in_the_pause_before_another_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.downloads.ATTEMPT_PAUSE", 2 * WAIT)
    with serving(slow_server.closing) as server:
        assert "not done after 0.1 seconds" in late(f"{server.url}/x", 0.1)
        wait_for_threads()
        assert len(server.requests) <= 1


def test_the_deadline_holds_while_a_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[Any]:
        assert answered.wait(WAIT)
        return []

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    assert "not done after 0.1 seconds" in late("http://slow.example/x", 0.1)
    answered.set()
    wait_for_threads()


def test_it_is_one_deadline_for_all_downloads_of_a_prediction() -> None:
    """More of them than run at once: the last ones have never begun."""
    with serving(slow_server.slow_body) as server:
        urls = [f"{server.url}/{i}" for i in range(20)]
        with pytest.raises(InputFailure, match=r"^files\[0\]: .* not done after 0\.3 seconds"):
            prepared_inputs(MANY, {"files": urls}, Options(download_timeout=0.3)).__enter__()
        wait_for_threads()
        assert len(server.requests) <= 8


# --- an end from outside ----------------------------------------------------------------------


@pytest.mark.parametrize("is_late", [False, True])
@by_slowness
def test_a_close_ends_an_open_in_another_thread(
    answer: Callable[..., None],
    is_late: bool,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is told so, also if those that fetch have ended before anything could be told."""

    def cut_and_wait(connections: Connections, cut: Any = Connections.cut) -> None:
        cut(connections)
        wait_for_threads()

    if is_late:
        monkeypatch.setattr(Connections, "cut", cut_and_wait)
    inputs = PreparedInputs(ONE, Options())
    caught: list[BaseException] = []

    def open_inputs() -> None:
        try:
            inputs.open({"file": f"{server.url}/x"})
        except InputFailure as error:
            caught.append(error)

    with serving(answer) as server:
        opening = threading.Thread(target=open_inputs)
        opening.start()
        assert server.reached.wait(WAIT)
        inputs.close()
        assert list(temporary.iterdir()) == []
        opening.join(WAIT)
        server.wait_until_gone()
        wait_for_threads()
    assert [str(error) for error in caught] == ["file: the prediction has ended"]


def test_an_exception_from_outside_ends_the_waiting(temporary: Path) -> None:
    """As predictions are cancelled that run in threads: none is raised inside a blocking call."""

    class Told(BaseException): ...

    caught: list[BaseException] = []

    def predict() -> None:
        try:
            with prepared_inputs(ONE, {"file": f"{server.url}/x"}, Options()):
                raise AssertionError("it was fetched")
        except Told as error:
            caught.append(error)

    with serving(slow_server.slow_body) as server:
        thread = threading.Thread(target=predict)
        thread.start()
        assert server.reached.wait(WAIT)
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Told)
        )
        thread.join(WAIT / 2)
        assert len(caught) == 1
        server.wait_until_gone()
        wait_for_threads()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("url", ["data:,x", "http://127.0.0.1:9/x"])
def test_nothing_begins_after_a_close(url: str, temporary: Path) -> None:
    inputs = PreparedInputs(ONE, Options())
    inputs.close()
    with pytest.raises(InputFailure, match=r"^file: the prediction has ended$"):
        inputs.open({"file": url})
    inputs.close()
    wait_for_threads()
    assert list(temporary.iterdir()) == []


# --- in a worker ------------------------------------------------------------------------------

MODEL = """
import os, pathlib, socket, threading
class Predictor:
    {kind} predict(self, file: pathlib.Path = None):
        for thread in threading.enumerate():
            if thread.name in ("coglet-download", "coglet-cancel"):
                thread.join(30)
        threads = sorted(thread.name for thread in threading.enumerate())
        content = file and file.read_text()
        return {{"content": content, "threads": threads, "open": len(os.listdir("/proc/self/fd"))}}
"""

by_kind = pytest.mark.parametrize("kind", ["def", "async def"])


def short(server: RawServer, connection: Any) -> None:
    server.read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")


def cancel_one(driver: Driver, server: RawServer, id: str) -> None:
    server.reached.clear()
    driver.start(id, file=f"{server.url}/x")
    assert server.reached.wait(WAIT)
    driver.cancel(id)
    assert driver.result().end == Cancelled(id)
    driver.wait_idle()
    assert not list((driver.folder / "run" / id).glob("files-*"))


def state_of(driver: Driver, id: str, file: str) -> Any:
    (state,) = driver.predict(id, file=file).outputs
    return state


@by_kind
def test_a_cancel_leaves_no_thread_no_file_and_no_descriptor(kind: str, tmp_path: Path) -> None:
    with (
        serving(short) as good,
        serving(slow_server.slow_body) as slow,
        worker(tmp_path, MODEL.format(kind=kind)) as driver,
    ):
        driver.wait_ready()
        before = state_of(driver, "before", good.url)
        for number in range(3):
            cancel_one(driver, slow, f"cancelled{number}")
        after = state_of(driver, "after", good.url)
        assert after == before
        assert after["content"] == "hello"
        assert "coglet-download" not in after["threads"]


@by_kind
def test_cancelled_downloads_stand_in_nobodys_way(kind: str, tmp_path: Path) -> None:
    """More of them than the worker has threads for inputs; and then it ends."""
    with (
        serving(slow_server.slow_header) as slow,
        worker(tmp_path, MODEL.format(kind=kind), slots=1) as driver,
    ):
        driver.wait_ready()
        for number in range(10):
            cancel_one(driver, slow, f"cancelled{number}")
        assert state_of(driver, "next", "data:,hi")["content"] == "hi"
        cancel_one(driver, slow, "last")
        driver.shutdown(1.0)


RESOLVER = """
def resolve(*_, **__):
    print('resolving', flush=True)
    threading.Event().wait()
socket.getaddrinfo = resolve
"""


@by_kind
def test_a_resolver_that_never_answers_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    model = MODEL.format(kind=kind) + RESOLVER
    with worker(tmp_path, model, options={"download_timeout": 0.5}) as driver:
        driver.wait_ready()
        end = driver.predict("late", file="http://slow.example/x").end
        assert isinstance(end, Failed)
        assert "not done after 0.5 seconds" in end.error
        driver.shutdown(1.0)


@by_kind
def test_a_resolver_that_never_answers_holds_up_no_cancel(kind: str, tmp_path: Path) -> None:
    with worker(tmp_path, MODEL.format(kind=kind) + RESOLVER) as driver:
        driver.wait_ready()
        driver.start("cancelled", file="http://slow.example/x")
        driver.wait_for_log("resolving")
        driver.cancel("cancelled")
        assert driver.result().end == Cancelled("cancelled")
        driver.wait_idle()
        driver.shutdown(1.0)


def test_shutdown_in_the_middle_of_a_download(tmp_path: Path) -> None:
    with (
        serving(slow_server.slow_body) as slow,
        worker(tmp_path, MODEL.format(kind="async def")) as driver,
    ):
        driver.wait_ready()
        driver.start("running", file=f"{slow.url}/x")
        assert slow.reached.wait(WAIT)
        driver.shutdown(0.1)
        assert driver.result().end == Cancelled("running")
        slow.wait_until_gone()
