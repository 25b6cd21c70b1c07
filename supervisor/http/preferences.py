"""What a client asks for in headers: `Prefer` (RFC 7240) and `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["accepts_event_stream", "is_json", "prefers_async"]

_ITEM: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
"""One element of a comma-separated list; a comma in a quoted string does not end it."""

_PARAMETER: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')


def prefers_async(prefer: str | None) -> bool:
    """Whether `Prefer` holds `respond-async`, anywhere in a list and in any case."""
    return any(parts[0].lower() == "respond-async" for parts in _elements(prefer))


def accepts_event_stream(accept: str | None) -> bool:
    """Whether `Accept` names `text/event-stream` itself, and not to refuse it (`q=0`)."""
    return any(
        parts[0].lower() == "text/event-stream" and not _refused(parts[1:])
        for parts in _elements(accept)
    )


def is_json(content_type: str) -> bool:
    """Whether a body of this type is read as JSON: `application/json`, `application/x+json`."""
    media_type = content_type.partition(";")[0].strip().lower()
    kind, _, subtype = media_type.partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def _elements(header: str | None) -> Iterator[list[str]]:
    """The elements of a list header: the value of each, then its parameters."""
    for item in _ITEM.findall(header or ""):
        parts = [part.strip() for part in _PARAMETER.findall(item)]
        if parts:
            yield parts


def _refused(parameters: list[str]) -> bool:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return re.fullmatch(r"0(\.0{0,3})?", value.strip()) is not None
    return False
