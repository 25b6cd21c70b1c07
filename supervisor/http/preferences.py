"""What a client asks for in headers: `Prefer` (RFC 7240) and `Accept` (RFC 9110, 12.5.1)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from attrs import frozen
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Preference",
    "accepted",
    "accepts_event_stream",
    "is_json",
    "media_type",
    "preference",
]

_ITEM: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
"""One element of a comma-separated list; a comma in a quoted string does not end it."""

_PARAMETER: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')

_JSON_TOO: Final = ("*/*", "application/*")

_BARE_FRACTION: Final = re.compile(r"(;\s*q\s*=\s*)(?=\.[0-9])", re.IGNORECASE)


_WAIT: Final = re.compile(r'wait(?:\s*=\s*(?:(\d{1,9})|"(\d{1,9})"))?', re.ASCII | re.IGNORECASE)
"""`wait`, `wait=10`, `wait="10"`."""


@frozen
class Preference:
    """How long a client wants to wait for the result of a prediction."""

    respond_async: bool = False
    """Rather not at all."""
    wait: float | None = None
    """So many seconds; infinite for `wait` without a number, which is how Replicate's clients ask
    for the result."""

    @property
    def patience(self) -> float:
        """Seconds after which it is answered with what there is.

        `respond-async, wait=10` is RFC 7240's own example: the result, if it comes within 10 s.
        """
        if self.wait is not None and (not self.respond_async or math.isfinite(self.wait)):
            return self.wait
        return 0.0 if self.respond_async else math.inf

    @property
    def lets_go(self) -> bool:
        """Whether the prediction goes on when the client has left."""
        return self.respond_async or self.wait is not None

    def applied(self, *, in_time: bool) -> str:
        """What `Preference-Applied` says; `in_time`: the client got the result. May be empty."""
        words = ["respond-async"] if self.respond_async and not in_time else []
        if self.wait is not None and self.patience == self.wait:
            words.append(f"wait={self.wait:.0f}" if math.isfinite(self.wait) else "wait")
        return ", ".join(words)


def preference(prefer: str | None) -> Preference:
    """What `Prefer` says of waiting. Of a preference that is there twice the first one counts.

    What is unknown or wrong (`wait=soon`) is as if it were not there, as the RFC wants it.
    """
    respond_async = False
    wait: float | None = None
    for value, *_ in _elements(prefer):
        respond_async = respond_async or value.lower() == "respond-async"
        found = _WAIT.fullmatch(value)
        if found is not None and wait is None:
            seconds = found[1] or found[2]
            wait = math.inf if seconds is None else float(seconds)
    return Preference(respond_async, wait)


def accepts_event_stream(accept: str | None) -> bool:
    """Whether `Accept` names `text/event-stream` itself, and not to refuse it (`q=0`)."""
    return any(
        parts[0].lower() == "text/event-stream" and not _refused(parts[1:])
        for parts in _elements(accept)
    )


def accepted(accept: str | None, media_type: str, *, by_name: bool = False) -> float:
    """How much `Accept` wants a media type, from 0 to 1; 1 without the header.

    Args:
        accept: the header; what is no media type in it is passed over.
        media_type: without parameters.
        by_name: whether ranges that hold JSON as well (`*/*`, `application/*`) are passed over.
    """
    # Java's own client says `*; q=.2`, of which the parser takes neither half.
    written = _BARE_FRACTION.sub(r"\g<1>0", accept or "")
    ranges = [
        ("*/*" if name == "*" else name, quality)
        for name, quality in parse_accept_header(written, MIMEAccept)
        if "/" in name or name == "*"
    ]
    if not ranges:
        return 0 if by_name else 1
    if by_name:
        ranges = [(name, quality) for name, quality in ranges if name not in _JSON_TOO]
    return MIMEAccept(ranges).quality(media_type)


def is_json(content_type: str) -> bool:
    """Whether a body of this type is read as JSON: `application/json`, `application/x+json`."""
    kind, _, subtype = media_type(content_type).partition("/")
    return kind == "application" and (subtype == "json" or subtype.endswith("+json"))


def media_type(content_type: str) -> str:
    """A `Content-Type` without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


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
