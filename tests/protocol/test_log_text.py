"""The longest log message: 4 MiB, cut between two characters, with coglet's notice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol import messages as m
from protocol.limits import FRAME_MAX, LOG_MAX, LOG_TRUNCATED_NOTICE
from protocol.log_text import cut_log

characters = pytest.mark.parametrize("character", ["a", "é", "日", "🙂"])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_short_text_is_not_touched(text: str) -> None:
    assert cut_log(text) == text


@characters
def test_exactly_4_mib_is_not_cut(character: str) -> None:
    text = character * (LOG_MAX // len(character.encode()))
    text += "." * (LOG_MAX - len(text.encode()))
    assert cut_log(text) == text


@characters
@pytest.mark.parametrize("shift", range(4))
def test_more_is_cut_between_two_characters(character: str, shift: int) -> None:
    text = "." * shift + character * (LOG_MAX + 1)
    cut = cut_log(text)
    size = len(cut.encode())
    assert LOG_MAX - len(character.encode()) < size <= LOG_MAX
    kept = cut.removesuffix(LOG_TRUNCATED_NOTICE)
    assert len(kept) < len(cut)
    assert text.startswith(kept)


def test_one_byte_more_is_cut() -> None:
    assert cut_log("a" * (LOG_MAX + 1)).endswith("a" + LOG_TRUNCATED_NOTICE)


def test_what_utf_8_cannot_say_becomes_question_marks() -> None:
    assert cut_log("a\ud800b") == "a?b"


def test_the_longest_message_fits_in_a_frame_unless_json_swells_it() -> None:
    line = m.LogLine(m.LogSource.STDOUT, cut_log("é" * LOG_MAX))
    assert len(codec.encode_slot_response(line)) < FRAME_MAX
