"""Which ids a prediction may have, and what it is called when its client names none."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from supervisor.interface import InputError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Container

__all__ = ["check_id", "new_id"]

_ALLOWED: Final = re.compile(r"[A-Za-z0-9\-_.~:]{1,128}")


def check_id(prediction_id: str) -> None:
    """Refuse an id that could mean something in a path, a URL or a log.

    Raises:
        InvalidInput: it is not 1 to 128 letters, digits and `-_.~:`, or it is only dots.
    """
    if not _ALLOWED.fullmatch(prediction_id) or not prediction_id.strip("."):
        message = "prediction ID must be 1 to 128 of letters, digits and -_.~: and not only dots"
        raise InvalidInput([InputError(("body", "id"), message)])


def new_id(taken: Container[str]) -> str:
    """An id as coglet makes them: the time in nanoseconds, in hexadecimal."""
    nanoseconds = time.time_ns()
    while (prediction_id := f"pred_{nanoseconds:x}") in taken:
        nanoseconds += 1
    return prediction_id
