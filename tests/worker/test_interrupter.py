"""From a `Cancel` to an exception in one thread: by a real signal, and without one."""

from __future__ import annotations

import signal
import socket
import threading
from functools import partial
from operator import call
from typing import TYPE_CHECKING

import pytest

from tests.worker.driver import DEADLINE
from worker.interrupter import INTERRUPT, RAISE_EVERY, SignalInterrupter
from worker.sdk import CancelationException
from worker.thread_interrupter import ThreadInterrupter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def nothing_arrived() -> bool:
    return False


class Clock:
    """Stands still, until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def interrupter(clock: Clock) -> Iterator[SignalInterrupter]:
    before = {number: signal.getsignal(number) for number in (INTERRUPT, signal.SIGINT)}
    interrupter = SignalInterrupter(print, lambda _: None, clock=clock)
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


def test_exceptions_leave_time_in_between(interrupter: SignalInterrupter, clock: Clock) -> None:
    interrupter.begin("p1")

    # A signal may come at any moment: what makes the exception due stands in the block.
    def wait_after(change: Callable[..., None], *args: object) -> None:
        change(*args)
        threading.Event().wait()

    def model() -> str:
        with pytest.raises(CancelationException):
            wait_after(interrupter.request, "p1", nothing_arrived)
        clock.go_on(RAISE_EVERY * 0.9)
        for _ in range(100):
            signal.raise_signal(INTERRUPT)
        with pytest.raises(CancelationException):
            wait_after(clock.go_on, RAISE_EVERY * 0.2)
        return "cleaned up"

    assert interrupter.call(model) == "cleaned up"
    assert interrupter.finish()


class Counting(ThreadInterrupter):
    """Tells how often it was asked to interrupt."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(print, clock=clock)
        self.asked = threading.Semaphore(0)

    def _interrupt(self) -> None:
        super()._interrupt()
        self.asked.release()


def test_the_time_for_clean_up_begins_when_a_blocking_call_has_ended(clock: Clock) -> None:
    interrupter = Counting(clock)
    raised, disturbed = threading.Event(), threading.Event()

    def model() -> None:
        try:
            # One call into C, which says that it has begun: nothing can be raised in it.
            list(map(call, (partial(left.send, b"x"), partial(left.recv, 1))))
        except CancelationException:
            raised.set()
        try:
            while True:
                pass
        except CancelationException:
            disturbed.set()

    def serve() -> None:
        interrupter.begin("p1")
        interrupter.call(model)
        interrupter.finish()
        interrupter.asked.release(3)  # nobody waits for more

    left, right = socket.socketpair()
    with left, right:
        thread = threading.Thread(target=serve)
        thread.start()
        right.recv(1)
        interrupter.request("p1", nothing_arrived)
        interrupter.asked.acquire()
        clock.now = 0.8 * RAISE_EVERY
        right.send(b"x")
        raised.wait()
        clock.now = 1.2 * RAISE_EVERY  # after the first request, but not after the exception
        while interrupter.asked.acquire(blocking=False):
            pass
        for _ in range(3):
            interrupter.asked.acquire()
        too_soon = disturbed.is_set()
        clock.now = 2 * RAISE_EVERY
        assert disturbed.wait(DEADLINE)
        thread.join()
    assert not too_soon


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
