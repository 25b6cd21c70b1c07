"""W3C Trace Context: which `traceparent` and `tracestate` are passed on, and which are dropped."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_traceparent", "is_tracestate"]

_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-[0-9a-f]{2}"
    r"(?P<more>-.*)?"
)
_KEY: Final = r"[a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(f"(?:{_KEY})={_VALUE}")

_MEMBERS_MAX: Final = 32


def is_traceparent(value: str) -> bool:
    """Whether it is one, of this version of the standard or of a later one."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None or found["version"] == "ff":
        return False
    if found["version"] == "00" and found["more"] is not None:
        return False
    return found["trace"].strip("0") != "" and found["parent"].strip("0") != ""


def is_tracestate(value: str) -> bool:
    """Whether it is a list of at most 32 members; several headers are one list."""
    members = [member.strip(" \t") for member in value.split(",")]
    return len(members) <= _MEMBERS_MAX and all(
        not member or _MEMBER.fullmatch(member) for member in members
    )
