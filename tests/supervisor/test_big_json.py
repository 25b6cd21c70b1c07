"""JSON of documents of any size: the same as of small ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Unserialisable
from protocol.json_text import dumps
from supervisor.big_json import encode
from supervisor.interface import OFF_THE_LOOP

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(st.text(), inner),
    max_leaves=100,
)


@given(JSON)
def test_a_big_value_is_written_as_a_small_one_is(value: Any) -> None:
    assert encode(value, OFF_THE_LOOP) == dumps(value) == encode(value, 0)


@pytest.mark.parametrize(
    "value",
    [
        '\u00e4"\n\U0001f600' * 200_000,
        {"output": [list(range(300_000))], "logs": "x\\" * 300_000},
        {"output": {"embeddings": [[0.5] * 700] * 700}},
        ["small"] * 5000 + ["x" * 1_000_000] * 3 + [{}] * 20,
    ],
)
def test_step_by_step(value: Any) -> None:
    assert encode(value, OFF_THE_LOOP) == dumps(value)


def test_what_json_cannot_say_is_not_written() -> None:
    with pytest.raises(Unserialisable):
        encode({"output": ["\ud800"]}, OFF_THE_LOOP)
