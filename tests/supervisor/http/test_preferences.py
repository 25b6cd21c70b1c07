from __future__ import annotations

import math

import pytest

from supervisor.http.preferences import accepted, accepts_event_stream, is_json, preference


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
    assert preference(prefer).respond_async


@pytest.mark.parametrize(
    "prefer",
    [None, "", ",", ";", "wait=10", 'foo="respond-async"', "x;respond-async", "respond-asynchron"],
)
def test_other_preferences_are_not_respond_async(prefer: str | None) -> None:
    assert not preference(prefer).respond_async


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10.0),
        ("WAIT = 5", 5.0),
        ('wait="7"', 7.0),
        ("wait=0", 0.0),
        ("wait", math.inf),
        ("respond-async, wait=10", 10.0),
        ("wait=3, wait=9", 3.0),
        ("wait=3;strictly", 3.0),
        ("return=minimal,wait=3", 3.0),
        # Not a number of seconds: it is ignored.
        ("wait=", None),
        ("wait=soon", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=1 2", None),
        ("wait=\u0663", None),
        ("wait=1234567890", None),
        ("waiting=1", None),
        ("x;wait=1", None),
        (None, None),
    ],
)
def test_wait_has_whole_seconds(prefer: str | None, seconds: float | None) -> None:
    assert preference(prefer).wait == seconds


@pytest.mark.parametrize(
    ("prefer", "patience", "lets_go", "in_time", "late"),
    [
        ("", math.inf, False, "", ""),
        ("respond-async", 0.0, True, "", "respond-async"),
        ("wait=5", 5.0, True, "wait=5", "wait=5"),
        ("wait", math.inf, True, "wait", "wait"),
        ("wait=5, respond-async", 5.0, True, "wait=5", "respond-async, wait=5"),
        ("wait, respond-async", 0.0, True, "", "respond-async"),
        ("wait=soon", math.inf, False, "", ""),
    ],
)
def test_what_is_made_of_it(
    prefer: str, patience: float, lets_go: bool, in_time: str, late: str
) -> None:
    found = preference(prefer)
    assert (found.patience, found.lets_go) == (patience, lets_go)
    assert (found.applied(in_time=True), found.applied(in_time=False)) == (in_time, late)


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


@pytest.mark.parametrize(
    ("accept", "as_json", "as_png", "png_by_name"),
    [
        (None, 1, 1, 0),
        ("", 1, 1, 0),
        ("*/*", 1, 1, 0),
        ("nonsense", 1, 1, 0),
        ("application/json", 1, 0, 0),
        ("image/png", 0, 1, 1),
        ("IMAGE/PNG", 0, 1, 1),
        ("image/*", 0, 1, 1),
        ("image/*, */*;q=0.8", 0.8, 1, 1),
        ("image/*;q=0.1, image/png;q=0.7, */*;q=0.8", 0.8, 0.7, 0.7),
        ("image/png;q=0, */*", 1, 0, 0),
        ("image/jpeg", 0, 0, 0),
        ("text/html, *; q=.2, */*; q=.2", 0.2, 0.2, 0),
        ("image/png ; Q=.5", 0, 0.5, 0.5),
    ],
)
def test_how_much_a_type_is_wanted(
    accept: str | None, as_json: float, as_png: float, png_by_name: float
) -> None:
    assert accepted(accept, "application/json") == as_json
    assert accepted(accept, "image/png") == as_png
    assert accepted(accept, "image/png", by_name=True) == png_by_name
