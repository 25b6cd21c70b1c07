"""Coglet's own environment variables, each with coglet's way of reading it (`spec/http-api.md` 1).

What coglet shrugs off we shrug off too, with a warning: an image that runs there must start here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from supervisor.cli import values

__all__ = [
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MAX_CONCURRENCY",
    "PORT",
    "PREDICT_REF",
    "RUST_LOG",
    "SETUP_TIMEOUT",
    "STREAM_HISTORY",
    "THROTTLE",
    "TRAIN_REF",
    "WEBHOOK_AUTH_TOKEN",
    "Variable",
]


@frozen
class Variable:
    """One variable that coglet reads."""

    name: str
    parse: Callable[[str], Any]
    """Raises ValueError."""
    tolerant: bool = True
    """Whether an invalid value counts as none, with a warning; else it is an error."""
    is_train: bool | None = None
    """The mode in which it counts; None: in both."""


def _whole_seconds(text: str) -> float | None:
    """Whole seconds; 0 is none."""
    if not re.fullmatch(r"\d{1,9}", text.strip(), re.ASCII):
        raise ValueError(f"{text!r} is not a whole number of seconds")
    return float(text) or None


def _format(text: str) -> str:
    """Anything but `console` is JSON."""
    return "console" if text.strip().lower() == "console" else "json"


def _rust_level(text: str) -> Any:
    """The level among directives such as `info,hyper=warn`: the one that names no target."""
    for directive in text.split(","):
        if "=" not in directive:
            return values.LOG_LEVEL.parse(directive)
    raise ValueError(f"{text!r} names no level for everything")


PORT: Final = Variable("PORT", values.PORT.parse, tolerant=False)
PREDICT_REF: Final = Variable("COG_PREDICT_TYPE_STUB", str, is_train=False)
TRAIN_REF: Final = Variable("COG_TRAIN_TYPE_STUB", str, is_train=True)
MAX_CONCURRENCY: Final = Variable("COG_MAX_CONCURRENCY", values.COUNT.parse)
SETUP_TIMEOUT: Final = Variable("COG_SETUP_TIMEOUT", _whole_seconds)
STREAM_HISTORY: Final = Variable("COG_STREAM_HISTORY_CAPACITY", values.QUEUE.parse)
THROTTLE: Final = Variable("COG_THROTTLE_RESPONSE_INTERVAL", values.SECONDS.parse)
WEBHOOK_AUTH_TOKEN: Final = Variable("WEBHOOK_AUTH_TOKEN", values.TOKEN.parse)
LOG_LEVEL: Final = Variable("COG_LOG_LEVEL", values.LOG_LEVEL.parse)
RUST_LOG: Final = Variable("RUST_LOG", _rust_level)
LOG_FORMAT: Final = Variable("LOG_FORMAT", _format)
