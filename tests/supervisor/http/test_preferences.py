from __future__ import annotations

import pytest

from supervisor.http.preferences import accepts_event_stream, is_json, prefers_async


@pytest.mark.parametrize(
    "prefer",
    [
        "respond-async",
        "Respond-Async",
        "respond-async, wait=10",
        "wait=10,respond-async",
        "respond-async;x=1",
        'foo="a, b; c"; bar, respond-async',
        " respond-async ",
    ],
)
def test_respond_async_is_found_anywhere(prefer: str) -> None:
    assert prefers_async(prefer)


@pytest.mark.parametrize(
    "prefer",
    [None, "", ",", ";", "wait=10", 'foo="respond-async"', "x;respond-async", "respond-asynchron"],
)
def test_other_preferences_are_not_respond_async(prefer: str | None) -> None:
    assert not prefers_async(prefer)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("text/event-stream;charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream; Q=0.000, */*", False),
        ("text/event-stream;q=0.001", True),
        ('x/y;p="text/event-stream"', False),
    ],
)
def test_an_event_stream_has_to_be_named(accept: str | None, wanted: bool) -> None:
    assert accepts_event_stream(accept) is wanted


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("APPLICATION/JSON; charset=utf-8", True),
        ("application/problem+json", True),
        ("text/json", False),
        ("application/x-www-form-urlencoded", False),
        ("application/jsonlines", False),
        ("", False),
    ],
)
def test_json_has_several_types(content_type: str, json: bool) -> None:
    assert is_json(content_type) is json
