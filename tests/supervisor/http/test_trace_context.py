"""Which headers of a trace are sound (W3C Trace Context)."""

from __future__ import annotations

import pytest

from supervisor.http.trace_context import is_traceparent, is_tracestate

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "is_sound"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-ff", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what.comes", True),
        (f"00-{TRACE}-{PARENT}-01-more", False),
        (f"cc-{TRACE}-{PARENT}-01x", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}", False),
        (f"00-{TRACE}-{PARENT}-01\n", False),
        ("", False),
    ],
)
def test_a_traceparent(value: str, is_sound: bool) -> None:
    assert is_traceparent(value) is is_sound


@pytest.mark.parametrize(
    ("value", "is_sound"),
    [
        ("congo=t61rcWkgMzE", True),
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", True),
        ("fw529a3039@dt=FfffffX1, a=b ,,c=d", True),
        ("a_-*/9=x y", True),
        (",".join(f"k{n}=v" for n in range(32)), True),
        (",".join(f"k{n}=v" for n in range(33)), False),
        ("a=" + "v" * 256, True),
        ("a=" + "v" * 257, False),
        ("A=b", False),
        ("a", False),
        ("a=b=c", False),
        ("a=\x00", False),
        ("a=\u00e4", False),
    ],
)
def test_a_tracestate(value: str, is_sound: bool) -> None:
    assert is_tracestate(value) is is_sound
