"""The kinds of values an option takes: how a text becomes one, and how it is shown in `--help`.

Each parser raises `ValueError` with what is wrong and what would be right, in words that follow the
value itself: "'x' is not a time (…)".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen

from protocol.quantities import number_and_unit, seconds, size, switch
from supervisor.webhook_signature import parse_secrets

__all__ = [
    "COMMAND",
    "CONCURRENCY",
    "COUNT",
    "EVENT_LOOP",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "MODE",
    "OPTIONAL_SECONDS",
    "ORIGINS",
    "PORT",
    "QUEUE",
    "SECONDS",
    "SHARE",
    "SIZE",
    "SWITCH",
    "TEXT",
    "TOKEN",
    "TOKEN_FILE",
    "URL",
    "WEBHOOK_SECRET",
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


_LEVELS: Final = {name: name for name in ("trace", "debug", "info", "warn", "error")} | {
    "warning": "warn"
}


_TOKEN_FILE_MAX: Final = 64 * 1024


def _optional_seconds(text: str) -> float | None:
    if text.strip().lower() == "none":
        return None
    return seconds(text) or None


def _show_seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:g} s"


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
    value = number_and_unit(text, {"": 1.0})
    if value is None or value > 1:
        raise ValueError(f"{text!r} is not a share between 0 and 1")
    return value


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


def _origins(text: str) -> tuple[str, ...]:
    """Origins as browsers send them, separated by commas."""
    if text.strip().lower() == "none":
        return ()
    origins = tuple(part.strip().lower() for part in text.split(",") if part.strip())
    for origin in origins:
        if origin != "*" and not re.fullmatch(r"[a-z][a-z0-9+.\-]*://[^\s/?#@]+", origin):
            raise ValueError(f"{origin!r} is not an origin (https://app.example, or * for all)")
    if not origins:
        raise ValueError(f"{text!r} names no origin")
    return origins


def _token(text: str) -> str:
    """A token as a header can carry it. It is never shown, not even in an error."""
    token = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError("a token is visible ASCII characters without spaces, at least one")
    return token


def _token_file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_TOKEN_FILE_MAX)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} holds no text") from None
    return _token(text)


def _or_none(value: Any) -> str:
    return "none" if value is None else str(value)


def _url(text: str) -> str:
    from supervisor.uploads import Destination  # with httpx, which `--help` does not need

    try:
        Destination.parse(text.strip())
    except ValueError as error:
        shown = text.partition("?")[0]  # there may be a signature behind it
        raise ValueError(f"{shown!r} is {error}") from error
    return text.strip()


TEXT: Final = Kind("TEXT", str, _or_none)
URL: Final = Kind("URL", _url, _or_none)
SECONDS: Final = Kind("SECONDS", seconds, _show_seconds)
OPTIONAL_SECONDS: Final = Kind("SECONDS|none", _optional_seconds, _show_seconds)
SIZE: Final = Kind("BYTES", size, _show_size)
COUNT: Final = Kind("N", lambda text: _whole(text, 1, None, "a whole number from 1 on"))
QUEUE: Final = Kind("N", lambda text: _whole(text, 0, None, "a whole number from 0 on"))
PORT: Final = Kind("PORT", lambda text: _whole(text, 0, 65535, "a port (0 to 65535)"))
SHARE: Final = Kind("SHARE", _share, lambda value: f"{value:g}")
SWITCH: Final = Kind("", switch, lambda value: "on" if value else "off")
COMMAND: Final = Kind("COMMAND", _command, _or_none)
ORIGINS: Final = Kind("ORIGIN|none", _origins, lambda value: ", ".join(value) or "none")
TOKEN: Final = Kind("TOKEN", _token, _or_none)
TOKEN_FILE: Final = Kind("PATH", _token_file, _or_none)
WEBHOOK_SECRET: Final = Kind(
    "SECRET[,SECRET]", parse_secrets, lambda keys: "set" if keys else _or_none(keys)
)
LOG_LEVEL: Final = Kind("trace|debug|info|warn|error", _choice(_LEVELS))
LOG_FORMAT: Final = Kind("json|console", _choice({"json": "json", "console": "console"}))
CONCURRENCY: Final = Kind("auto|threads", _choice({"auto": "auto", "threads": "threads"}))
EVENT_LOOP: Final = Kind(
    "asyncio|uvloop|trio", _choice({name: name for name in ("asyncio", "uvloop", "trio")})
)
MODE: Final = Kind(
    "predict|train",
    _choice({"predict": False, "train": True}),
    lambda is_train: "train" if is_train else "predict",
)
