"""From a `Cancel` to an exception in one thread: by a real signal, and without one."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from worker.interrupter import INTERRUPT, SignalInterrupter
from worker.sdk import CancelationException
from worker.thread_interrupter import ThreadInterrupter

if TYPE_CHECKING:
    from collections.abc import Iterator


def nothing_arrived() -> bool:
    return False


@pytest.fixture
def interrupter() -> Iterator[SignalInterrupter]:
    before = {number: signal.getsignal(number) for number in (INTERRUPT, signal.SIGINT)}
    interrupter = SignalInterrupter(print, lambda _: None)
    interrupter.install()
    yield interrupter
    for number, handler in before.items():
        signal.signal(number, handler)


def test_it_interrupts_the_main_thread(interrupter: SignalInterrupter) -> None:
    begun = threading.Event()

    def canceller() -> None:
        begun.wait()
        interrupter.request("p1", nothing_arrived)

    thread = threading.Thread(target=canceller)
    thread.start()
    assert not interrupter.begin("p1")

    def model() -> None:
        begun.set()
        threading.Event().wait()

    with pytest.raises(CancelationException):
        interrupter.call(model)
    assert interrupter.cancelled
    assert interrupter.finish()
    thread.join()


def test_nothing_is_raised_outside_of_calls(interrupter: SignalInterrupter) -> None:
    interrupter.begin("p1")
    interrupter.request("p1", nothing_arrived)
    signal.raise_signal(INTERRUPT)
    interrupter.checkpoint()
    assert interrupter.finish()
    signal.raise_signal(INTERRUPT)
    interrupter.begin("p2")
    interrupter.call(signal.raise_signal, INTERRUPT)
    assert not interrupter.finish()


def test_exceptions_leave_time_in_between(interrupter: SignalInterrupter) -> None:
    interrupter.begin("p1")

    def model() -> str:
        with pytest.raises(CancelationException):
            threading.Event().wait()
        for _ in range(100):
            signal.raise_signal(INTERRUPT)
        return "cleaned up"

    interrupter.request("p1", nothing_arrived)
    assert interrupter.call(model) == "cleaned up"
    assert interrupter.finish()


def test_nothing_that_was_left_with_a_thread_comes_out_after_the_call() -> None:
    interrupter = ThreadInterrupter(print)
    raised: list[BaseException] = []

    def serve() -> None:
        interrupter.begin("p1")
        interrupter.request("p1", nothing_arrived)
        try:
            # As good as no code of Python's runs any more in which the exception could come out.
            interrupter.call(left.recv, 1)
        except (CancelationException, TimeoutError) as error:
            raised.append(error)
        assert interrupter.finish()
        for _ in range(1000):
            pass
        ended.set()

    ended = threading.Event()
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(0.3)
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join()
    assert ended.is_set()
    assert len(raised) == 1
