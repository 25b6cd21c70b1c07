"""A prediction's events in Replicate's words: `output`, `logs`, `error` and `done`, as text."""

from __future__ import annotations

import re
from typing import Any, Final

from supervisor.big_json import encode
from supervisor.http.stream import KEEP_ALIVE, gap_error
from supervisor.interface import Event, EventKind, Gap, PredictionStatus

__all__ = ["replicate_form"]

# More than server-sent events know: Python's clients end a line at each, and what follows is lost.
_LINE_END: Final = re.compile("\r\n|[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")

_GAP: Final = "gap"
"""Clients of Replicate pass over what has no id."""


def replicate_form(event: Event | Gap) -> bytes:
    """An event as text; what Replicate has no word for is a comment."""
    match event:
        case Gap():
            return _lines(_GAP, "error", gap_error(event)) + _done(_GAP, reason="error")
        case Event(number=number, kind=EventKind.OUTPUT, data={"chunk": chunk}, size=size):
            return _lines(number, "output", _text(chunk, size))
        case Event(number=number, kind=EventKind.LOG, data={"data": text}):
            return _lines(number, "logs", text)
        case Event(number=number, kind=EventKind.COMPLETED, data=result):
            return _end(number, result)
        case _:
            return KEEP_ALIVE


def _end(number: int, result: dict[str, Any]) -> bytes:
    match PredictionStatus(result["status"]):
        case PredictionStatus.FAILED:
            error = _lines(number, "error", result["error"] or "")
            return error + _done(number, reason="error")
        case PredictionStatus.CANCELED:
            return _done(number, reason="canceled")
        case _:
            return _done(number)


def _done(number: int | str, **said: str) -> bytes:
    return _lines(number, "done", _text(said))


def _text(value: Any, size: int = 0) -> str:
    return value if isinstance(value, str) else encode(value, size).decode()


def _lines(number: int | str, name: str, text: str) -> bytes:
    lines = [f"id: {number}", f"event: {name}"]
    lines += [f"data: {line}" for line in _LINE_END.split(text)]
    return "\n".join([*lines, "", ""]).encode("utf-8", "replace")
