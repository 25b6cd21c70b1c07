"""Ids: which are allowed, and how ours look."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.interface import InvalidInput
from supervisor.prediction_ids import check_id, new_id

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~:"


@pytest.mark.parametrize("prediction_id", ["a", "-", "..a", "a.b:c~d_e-F9", "x" * 128, "pred_1"])
def test_allowed(prediction_id: str) -> None:
    assert check_id(prediction_id) is None


@pytest.mark.parametrize(
    "prediction_id",
    [
        "",
        ".",
        "..",
        "." * 128,
        "x" * 129,
        "a/b",
        "a b",
        "a\n",
        "\n",
        "ä",
        "a\0",
        "%2e",
        "a\\b",
        "٣",
    ],
)
def test_refused(prediction_id: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_id(prediction_id)
    (error,) = caught.value.errors
    assert error.loc == ("body", "id")
    assert "1 to 128" in error.msg


@given(st.text(max_size=140))
def test_an_id_is_allowed_exactly_when_each_rule_holds(prediction_id: str) -> None:
    allowed = (
        1 <= len(prediction_id) <= 128
        and set(prediction_id) <= set(LETTERS)
        and set(prediction_id) != {"."}
    )
    try:
        check_id(prediction_id)
    except InvalidInput:
        assert not allowed
    else:
        assert allowed


def test_ours_are_allowed_and_never_taken_twice() -> None:
    taken: set[str] = set()
    for _ in range(1000):
        prediction_id = new_id(taken)
        assert prediction_id not in taken
        assert re.fullmatch("pred_[0-9a-f]+", prediction_id)
        check_id(prediction_id)
        taken.add(prediction_id)
