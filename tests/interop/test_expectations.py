"""The comparison that the matrix rests on, and the list that it reads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.interop.cells import CELLS
from tests.interop.expectations import EXPECTATIONS, Expectation, mismatches


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, 1),
        ("a", "a"),
        ({}, {"a": 1}),
        ({"a": {"b": [1]}}, {"a": {"b": [1], "c": 2}, "d": 3}),
        ({"__contains": "b"}, "abc"),
        ({"__length": 2}, "ab"),
        ({"__length": 2}, [1, 2]),
        ({"__keys": ["b", "a"]}, {"b": 1, "a": 2}),
        ({"__has_not": ["c"], "a": 1}, {"a": 1}),
        ({"__null": True}, None),
    ],
)
def test_what_is_as_expected(expected: Any, found: Any) -> None:
    assert mismatches(expected, found) == []


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (1, 2),
        (1, True),
        (1, 1.0),
        ("a", None),
        ([1], [1, 2]),
        ({"a": 1}, {}),
        ({"a": 1}, None),
        ({"a": {"b": 1}}, {"a": {"b": 2}}),
        ({"__contains": "b"}, "acd"),
        ({"__contains": "b"}, ["b"]),
        ({"__length": 2}, "a"),
        ({"__length": 2}, None),
        ({"__keys": ["b", "a"]}, {"a": 2, "b": 1}),
        ({"__has_not": ["c"]}, {"c": None}),
        ({"__null": True}, 0),
    ],
)
def test_what_is_not(expected: Any, found: Any) -> None:
    assert len(mismatches(expected, found)) == 1


def test_names_are_of_one_expectation_each() -> None:
    names = [expectation.name for expectation in EXPECTATIONS]
    assert len(set(names)) == len(names)


def test_nothing_of_ours_is_excused_for_more_than_its_neighbour() -> None:
    """Where both ends are ours no quirk of coglet's can be the reason."""
    both_ours = [cell for cell in CELLS if cell.server == cell.worker == "ours"]
    assert len(both_ours) == 2
    for expectation in EXPECTATIONS:
        for cell in both_ours:
            assert cell.matches(expectation.cells), expectation.name
            assert expectation.quirk(cell) is None, expectation.name


def test_the_issues_list_of_models_is_there() -> None:
    models = {expectation.model.partition(".")[0] for expectation in EXPECTATIONS}
    assert models >= {
        "plain",
        "asynchronous",
        "generator",
        "files",
        "error",
        "cancel",
        "large",
        "metrics",
        "healthcheck",
    }


def test_the_first_quirk_that_matches_is_given() -> None:
    expectation = Expectation(name="x", model="y", broken={"coglet/* *": "Q1", "*": "Q2"})
    assert [expectation.quirk(cell) for cell in CELLS[:4]] == ["Q1", "Q1", "Q2", "Q2"]
