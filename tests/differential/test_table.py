"""Every row of the table, asked of both servers."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.differential.review import REASONS, compare, reviewed
from tests.differential.rows import STAGES
from tests.differential.sides import Sides
from tests.differential.table import ALL_NAMES, TABLE
from tests.reviewed_differences import Reviewed

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Latest:
    """The servers of the stage that was asked last; another stage ends them."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._stage = ""
        self._sides: Sides

    def at(self, stage: str) -> Sides:
        if stage != self._stage:
            self.close()
            self._sides = self._stack.enter_context(Sides(STAGES[stage]))
            self._stage = stage
        return self._sides

    def close(self) -> None:
        self._stage = ""
        self._stack.close()


@pytest.fixture(scope="module")
def latest() -> Iterator[_Latest]:
    """Holds the running servers."""
    latest = _Latest()
    yield latest
    latest.close()


@pytest.mark.parametrize("name", TABLE)
def test_ours_differs_only_as_is_listed(name: str, latest: _Latest) -> None:
    """`scripts/compare_http.py` prints what is found as the list has it."""
    if waits_for := REASONS.waits_for(name):
        pytest.skip(f"not compared before there is: {waits_for}")
    found = compare(*latest.at(TABLE[name].stage).ask(TABLE[name]))
    listed = reviewed().get(name, Reviewed())
    assert listed.unlisted(found.differences) == {}
    assert listed.gone(found.differences) == []
    assert found.says_detail == (name in REASONS.details)


def test_the_lists_say_why() -> None:
    for name, entry in reviewed().items():
        assert name in TABLE
        assert entry.why or entry.quirk in REASONS.reasons, name
        assert entry.differences or entry.sometimes, name
    assert set(REASONS.details) <= set(TABLE)
    assert all(
        any(REASONS.waits_for(name) == what for name in TABLE) for what in REASONS.pending.values()
    )


def test_every_row_is_another_and_every_stage_has_some() -> None:
    assert sorted(ALL_NAMES) == sorted(TABLE)
    assert len(TABLE) >= 500
    assert {row.stage for row in TABLE.values()} == set(STAGES)
