"""Whose code stands where on a thread's stack, and so where an exception may be raised into it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

from worker.forked import exit_in_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

__all__ = [
    "INTERRUPTIBLE_FILES",
    "call_model",
    "calling_frame",
    "enters_model",
    "is_ours",
    "may_interrupt",
    "stands_in_model",
]

_OURS: Final = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), package, "")
    for package in ("worker", "protocol")
)
INTERRUPTIBLE_FILES: Final = frozenset(
    os.path.join(_OURS[0], name)
    for name in (
        "conversion.py",
        "downloads.py",
        "file_copy.py",
        "files.py",
        "inputs.py",
        "output_files.py",
        "outputs.py",
        "plain_json.py",
        "predictor.py",
        "scope.py",
    )
)
"""Code of ours that runs for the prediction, may take long, and leaves no state behind."""

_F = TypeVar("_F", bound="Callable[..., Any]")
_entries: Final[set[CodeType]] = set()
"""The functions of ours that call the model's code."""


def enters_model(function: _F) -> _F:
    """Mark a function that calls the model's code and can do with an exception at any moment."""
    _entries.add(function.__code__)
    return function


@enters_model
def call_model(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """The place from which all is called that may be interrupted. No forked child leaves it."""
    try:
        result = function(*args, **kwargs)
    except BaseException as error:
        exit_in_child(error)
        raise
    exit_in_child()
    return result


def is_ours(code: CodeType) -> bool:
    """Whether a function is one of this worker."""
    return code.co_filename.startswith(_OURS)


def may_interrupt(frame: FrameType | None) -> bool:
    """Whether code that stands at `frame` may be interrupted by an exception.

    The innermost function of ours decides. Only the model's code and our handling of inputs and
    outputs may be interrupted; not the writing of logs, metrics and frames, and not what lies
    between two predictions.
    """
    while frame is not None:
        code = frame.f_code
        if code in _entries or code.co_filename in INTERRUPTIBLE_FILES:
            return True
        if code.co_filename.startswith(_OURS):
            return False
        frame = frame.f_back
    return False


def stands_in_model(frame: FrameType | None) -> bool:
    """Whether code of the model has called, from however far, what stands at `frame`."""
    while frame is not None:
        if frame.f_code in _entries:
            return True
        frame = frame.f_back
    return False


def calling_frame() -> FrameType | None:
    """The frame that has called into our code, from which this is called."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return frame
