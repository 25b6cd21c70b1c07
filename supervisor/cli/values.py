"""The kinds of values an option takes: how a text becomes one, and how it is shown in `--help`.

Each parser raises `ValueError` with what is wrong and what would be right, in words that follow the
value itself: "'x' is not a number of seconds (…)".
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

__all__ = [
    "COMMAND",
    "COUNT",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MODE",
    "OPTIONAL_SECONDS",
    "PORT",
    "QUEUE",
    "SECONDS",
    "SHARE",
    "SIZE",
    "SWITCH",
    "TEXT",
    "Kind",
]


@frozen
class Kind:
    """One kind of value."""

    metavar: str
    """What stands for the value in `--help`."""
    parse: Callable[[str], Any]
    """Raises ValueError."""
    show: Callable[[Any], str] = str
    """A default, as `--help` and the README's table show it."""


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
_LEVELS: Final = {name: name for name in ("trace", "debug", "info", "warn", "error")} | {
    "warning": "warn"
}


def _number_and_unit(text: str, units: dict[str, Any]) -> float | None:
    """The value of "1.5 MiB" by the table `units`; None when it is not of that form."""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2].lower() not in units:
        return None
    value: float = float(match[1]) * units[match[2].lower()]
    return value if math.isfinite(value) else None


def _seconds(text: str) -> float:
    value = _number_and_unit(text, _TIME_UNITS)
    if value is None:
        raise ValueError(f"{text!r} is not a time (seconds, or a number with ms, s, m, h)")
    return value


def _optional_seconds(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    return _seconds(text) or None


def _show_seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:g} s"


def _size(text: str) -> int:
    value = _number_and_unit(text, _SIZE_UNITS)
    if value is None or not value.is_integer():
        raise ValueError(f"{text!r} is not a size (bytes, or a number with KiB, MiB, GiB)")
    return int(value)


def _show_size(value: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value and value % factor == 0:
            return f"{value // factor} {unit}"
    return f"{value} bytes"


def _whole(text: str, least: int, most: int | None, what: str) -> int:
    """A whole number between `least` and `most`, both included."""
    digits = text.strip()
    value = int(digits) if re.fullmatch(r"\d{1,9}", digits, re.ASCII) else -1
    if value < least or (most is not None and value > most):
        raise ValueError(f"{text!r} is not {what}")
    return value


def _share(text: str) -> float:
    value = _number_and_unit(text, {"": 1.0})
    if value is None or value > 1:
        raise ValueError(f"{text!r} is not a share between 0 and 1")
    return value


def _switch(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def _choice(words: dict[str, Any]) -> Callable[[str], Any]:
    """The parser of a choice: what each word means."""

    def parse(text: str) -> Any:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return words[word]

    return parse


def _command(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a command line: {error}") from None
    if not words:
        raise ValueError(f"{text!r} is an empty command line")
    return words


def _or_none(value: Any) -> str:
    return "none" if value is None else str(value)


TEXT: Final = Kind("TEXT", str, _or_none)
SECONDS: Final = Kind("SECONDS", _seconds, _show_seconds)
OPTIONAL_SECONDS: Final = Kind("SECONDS|none", _optional_seconds, _show_seconds)
SIZE: Final = Kind("BYTES", _size, _show_size)
COUNT: Final = Kind("N", lambda text: _whole(text, 1, None, "a whole number from 1 on"))
QUEUE: Final = Kind("N", lambda text: _whole(text, 0, None, "a whole number from 0 on"))
PORT: Final = Kind("PORT", lambda text: _whole(text, 0, 65535, "a port (0 to 65535)"))
SHARE: Final = Kind("SHARE", _share, lambda value: f"{value:g}")
SWITCH: Final = Kind("", _switch, lambda value: "on" if value else "off")
COMMAND: Final = Kind("COMMAND", _command, _or_none)
LOG_LEVEL: Final = Kind("trace|debug|info|warn|error", _choice(_LEVELS))
LOG_FORMAT: Final = Kind("json|console", _choice({"json": "json", "console": "console"}))
MODE: Final = Kind(
    "predict|train",
    _choice({"predict": False, "train": True}),
    lambda is_train: "train" if is_train else "predict",
)
