"""Where an exception may be raised into what runs."""

from __future__ import annotations

import sys

from worker.call_stack import may_interrupt
from worker.interrupter import SignalInterrupter


def test_where_an_exception_may_be_raised() -> None:
    interrupter = SignalInterrupter(print, lambda _: None)
    assert may_interrupt(interrupter.call(sys._getframe))  # a model written in C has no frame
    assert may_interrupt(interrupter.call(lambda: sys._getframe()))
    assert not may_interrupt(sys._getframe())
    assert not may_interrupt(None)
