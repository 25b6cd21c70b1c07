"""Times, sizes and switches as operators write them: `2s`, `16MiB`, `true`.

The supervisor reads flags and its environment so; the worker reads the same variables itself when
its parent is a foreign one. Each function raises `ValueError` with what is wrong and what would be
right, in words that begin with the text itself: "'x' is not a time (…)".
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["number_and_unit", "seconds", "size", "switch"]

_TIME_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
_NUMBER_AND_UNIT: Final = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", re.ASCII)


def number_and_unit(text: str, units: Mapping[str, float]) -> float | None:
    """The value of "1.5 MiB" by the table `units`; None when it is not of that form.

    It is exact, an integer, where the number and the unit are whole.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2].lower() not in units:
        return None
    try:
        number = int(match[1]) if match[1].isdigit() else float(match[1])
        value = number * units[match[2].lower()]
        return value if math.isfinite(value) else None
    except (OverflowError, ValueError):  # larger than any float, more digits than `int` takes
        return None


def seconds(text: str) -> float:
    """A time in seconds: `2`, `0.5`, `500ms`, `5m`, `1h`."""
    value = number_and_unit(text, _TIME_UNITS)
    if value is None:
        raise ValueError(f"{text!r} is not a time (seconds, or a number with ms, s, m, h)")
    return value


def size(text: str) -> int:
    """A size in bytes: `1024`, `64KiB`, `1GiB`."""
    value = number_and_unit(text, _SIZE_UNITS)
    if value is None or value != int(value):
        raise ValueError(f"{text!r} is not a size (bytes, or a number with KiB, MiB, GiB)")
    return int(value)


def switch(text: str) -> bool:
    """On or off, in any of the usual words."""
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")
