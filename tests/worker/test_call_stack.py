"""Where an exception may be raised into what runs."""

from __future__ import annotations

import os
import sys

from worker.call_stack import INTERRUPTIBLE_FILES, may_interrupt
from worker.interrupter import SignalInterrupter


def test_where_an_exception_may_be_raised() -> None:
    interrupter = SignalInterrupter(print, lambda _: None)
    assert may_interrupt(interrupter.call(sys._getframe))  # a model written in C has no frame
    assert may_interrupt(interrupter.call(lambda: sys._getframe()))
    assert not may_interrupt(sys._getframe())
    assert not may_interrupt(None)


def test_a_module_that_may_be_interrupted_is_named_as_it_is_called() -> None:
    assert len(INTERRUPTIBLE_FILES) > 0
    assert [path for path in INTERRUPTIBLE_FILES if not os.path.isfile(path)] == []
