"""What the supervisor is told when something of the model's has failed.

The error of a prediction is what was raised: `ValueError: boom`. Coglet puts two prefixes before
that, so a client that looks for the text itself finds it in both. `--error-prefixes` is for clients
that compare the whole.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

__all__ = [
    "BUSY",
    "NEEDS_ASYNC",
    "NOT_READY",
    "NO_INPUT",
    "Stage",
    "describe",
    "healthcheck_failed",
    "healthcheck_timed_out",
    "input_failed",
    "input_lost",
    "model_traceback",
    "prediction_failed",
    "returned_false",
    "setup_failed",
    "write_failed",
]

NEEDS_ASYNC: Final = (
    "COG_MAX_CONCURRENCY > 1 requires an async run() or predict() method, or the option "
    "--concurrency threads, which runs a sync one in one thread a slot"
)
NO_INPUT: Final = "SlotRequest::Predict has neither input nor input_file"
NOT_READY: Final = "Predictor not initialized"
BUSY: Final = "The slot is busy with another prediction"

_TEXT_MAX: Final = 64 * 1024
"""Characters of a model's error that are told; all of it is in the model's logs, if anywhere."""

_BELOW_THE_MODEL: Final = (
    os.path.dirname(os.path.abspath(__file__)) + os.sep,
    os.path.dirname(asyncio.__file__) + os.sep,
    "<frozen importlib",
)
"""Where the code lies that calls the model's."""


class Stage(Enum):
    """Where in a prediction the model's code failed, in coglet's words."""

    CALL = "Prediction failed"
    ASYNC_CALL = "Async prediction failed"
    TRAIN = "Training failed"
    ASYNC_TRAIN = "Async training failed"
    ITERATION = "Generator iteration error"
    OUTPUT = "Failed to serialize output"


def describe(error: BaseException) -> str:
    """`ValueError: boom`; an exception that cannot be printed is named only."""
    name, text = _name_and_text(error)
    return _sendable(f"{name}: {text}" if text else name)


def _name_and_text(error: BaseException) -> tuple[str, str]:
    try:
        text = str(error)
    # The model's code again, and `sys.exit()` in it ends nothing either. No cancel is lost: none is
    # raised into what stands below us, and nothing here is awaited.
    except BaseException as second:
        text = f"<{type(second).__name__} in __str__>"
    return type(error).__name__, text


def _sendable(text: str) -> str:
    """`text` as a message can hold it: not too long, and without halves of surrogate pairs."""
    if len(text) > _TEXT_MAX:
        text = text[:_TEXT_MAX] + " …"
    return text.encode("utf-8", "replace").decode()


def prediction_failed(stage: Stage, error: BaseException, *, prefixes: bool) -> str:
    """The error of a prediction whose model raised `error`. `prefixes`: as coglet says it."""
    name, text = _name_and_text(error)
    if stage is Stage.OUTPUT:
        said = text  # names its place itself
    elif prefixes:
        said = f"{name}: {text}"
    else:
        return describe(error)
    return _sendable(f"Prediction failed: {stage.value}: {said}" if prefixes else said)


def input_failed(error: Exception) -> str:
    """The error of a prediction whose input cannot be handed to the model."""
    return _sendable(f"Input validation error: {error}")


def input_lost(reason: object) -> str:
    """The error of a prediction whose input did not arrive."""
    return _sendable(f"Failed to rehydrate input: {reason}")


def setup_failed(error: BaseException | str, *, loading: bool = False) -> str:
    """The error of a worker whose model did not load (its text says so itself) or set up."""
    if loading or isinstance(error, str):
        return _sendable(f"Setup failed: {error}")
    return f"Setup failed: {describe(error)}"


def healthcheck_failed(error: BaseException) -> str:
    """What an unhealthy model's exception comes to."""
    return f"Healthcheck failed: {describe(error)}"


def returned_false() -> str:
    """What a healthcheck comes to that says no."""
    return "Healthcheck failed: user-defined healthcheck returned False"


def healthcheck_timed_out(limit: float) -> str:
    """What a healthcheck comes to that takes more than `limit` seconds."""
    return f"Healthcheck failed: user-defined healthcheck timed out after {limit} seconds"


def write_failed(error: BaseException) -> str:
    """Why a slot is poisoned whose socket cannot be written."""
    return f"Socket write error: {error}"


def model_traceback(error: BaseException) -> str:
    """The traceback of `error` as Python prints it, from the model's first frame on."""
    frames = _without_ours(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, frames))


def _without_ours(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and _is_ours(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_ours(filename: str) -> bool:
    return filename.startswith(_BELOW_THE_MODEL)
