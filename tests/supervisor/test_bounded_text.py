"""Logs that are bounded: the beginning and the end, and a notice of what is missing between."""

from __future__ import annotations

import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.state.logs import BoundedText

NOTICE = re.compile(r"\n\[\*\*\*\* (\d+) BYTES OF LOGS DROPPED \(--max-logs\) \*\*\*\*\]\n")


def written(limit: int, *texts: str) -> str:
    subject = BoundedText(limit)
    for text in texts:
        subject.append(text)
    return str(subject)


def parts(shown: str) -> tuple[str, int, str]:
    """The beginning, the number of bytes that were dropped, the end."""
    found = NOTICE.search(shown)
    assert found is not None
    return shown[: found.start()], int(found[1]), shown[found.end() :]


def test_nothing_is_empty() -> None:
    assert written(100) == ""
    assert written(100, "", "") == ""


def test_what_fits_is_kept_whole_and_in_order() -> None:
    assert written(10, "abc", "defg", "hij") == "abcdefghij"


def test_the_middle_goes() -> None:
    head, dropped, tail = parts(written(10, "abc", "de", "fgh", "ijk", "lm"))
    assert (head, dropped, tail) == ("abcde", 3, "ijklm")


def test_a_message_larger_than_the_limit_keeps_its_ends() -> None:
    head, dropped, tail = parts(written(10, "abcde" + "-" * 1000 + "vwxyz"))
    assert (head, dropped, tail) == ("abcde", 1000, "vwxyz")


@pytest.mark.parametrize("letters", ["äöü", "€", "😀", "a€"])
def test_no_character_is_cut_in_two(letters: str) -> None:
    text = letters * 100
    head, dropped, tail = parts(written(21, text))
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head.encode()) + dropped + len(tail.encode()) == len(text.encode())
    assert len(head.encode()) > 6, "as much of the half as whole characters fill"
    assert len(tail.encode()) > 6


def test_a_lone_surrogate_does_no_harm() -> None:
    assert written(100, "a\ud800b") == "a?b"


@given(
    st.lists(st.text(st.sampled_from("ab\nä€😀"), max_size=30), max_size=20),
    st.integers(0, 60),
)
def test_bounds_order_and_count(texts: list[str], limit: int) -> None:
    whole = "".join(texts)
    size = len(whole.encode())
    shown = written(limit, *texts)
    if size <= limit // 2 * 2:  # an odd limit's last byte belongs to neither half
        assert shown == whole
        return
    head, dropped, tail = parts(shown)
    assert whole.startswith(head)
    assert whole.endswith(tail)
    kept = len(head.encode()) + len(tail.encode())
    assert kept <= limit
    assert kept + dropped == size


@pytest.mark.parametrize("piece", ["", "a", "ab\n"])
def test_many_small_messages_take_no_more_memory_than_their_bytes(piece: str) -> None:
    subject = BoundedText(10_000)
    tracemalloc.start()
    try:
        for _ in range(20_000):
            subject.append(piece)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 60_000
