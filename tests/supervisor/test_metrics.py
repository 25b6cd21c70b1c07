"""The rules of `spec/protocol.md` 5, one row each."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.messages import Metric, MetricMode
from supervisor.state.metrics import Metrics

R, I, A = MetricMode.REPLACE, MetricMode.INCREMENT, MetricMode.APPEND  # noqa: E741


def after(*messages: tuple[str, Any, MetricMode]) -> dict[str, Any]:
    metrics = Metrics()
    for name, value, mode in messages:
        metrics.apply(Metric(name, value, mode))
    return metrics.snapshot()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("n", 1, R)], {"n": 1}),
        ([("n", 1, R), ("n", "x", R)], {"n": "x"}),
        ([("a.b.c", 1, R)], {"a": {"b": {"c": 1}}}),
        ([("a.b", 1, R), ("a.c", 2, R)], {"a": {"b": 1, "c": 2}}),
        ([("a", 1, R), ("a.b", 2, R)], {"a": {"b": 2}}),
        ([("a.b", 1, R), ("a", 2, R)], {"a": 2}),
        ([("a", {"b": 1}, R), ("a.c", 2, R)], {"a": {"b": 1, "c": 2}}),
        # replace with null deletes
        ([("n", 1, R), ("n", None, R)], {}),
        ([("n", None, R)], {}),
        ([("a.b", 1, R), ("a.c", 1, R), ("a.b", None, R)], {"a": {"c": 1}}),
        ([("a.b", None, R)], {}),
        ([("a", 1, R), ("a.b", None, R)], {"a": 1}),
        # increment
        ([("n", 2, I)], {"n": 2}),
        ([("n", 2, I), ("n", 3, I)], {"n": 5}),
        ([("n", 2, I), ("n", 0.5, I)], {"n": 2.5}),
        ([("n", 0.5, I), ("n", 1, I)], {"n": 1.5}),
        ([("n", 2**70, R), ("n", 1, I)], {"n": 2**70 + 1}),
        ([("a.n", 1, I), ("a.n", 1, I)], {"a": {"n": 2}}),
        ([("n", 1, R), ("n", "x", I)], {"n": 1}),
        ([("n", 1, R), ("n", True, I)], {"n": 1}),
        ([("n", 1, R), ("n", None, I)], {"n": 1}),
        ([("n", "x", R), ("n", 1, I)], {"n": "x"}),
        ([("n", [1], R), ("n", 1, I)], {"n": [1]}),
        ([("n", "x", I)], {}),
        ([("a.b", "x", I)], {}),
        ([("a", 1, R), ("a.b", "x", I)], {"a": 1}),
        # append
        ([("l", 1, A)], {"l": [1]}),
        ([("l", 1, A), ("l", 2, A)], {"l": [1, 2]}),
        ([("l", [1], A)], {"l": [[1]]}),
        ([("l", "old", R), ("l", "new", A)], {"l": ["old", "new"]}),
        ([("l", {"k": 1}, R), ("l", 2, A)], {"l": [{"k": 1}, 2]}),
        ([("l", None, A)], {"l": [None]}),
        ([("a.l", 1, A)], {"a": {"l": [1]}}),
    ],
)
def test_the_rules(messages: list[tuple[str, Any, MetricMode]], expected: dict[str, Any]) -> None:
    assert after(*messages) == expected


@pytest.mark.parametrize(
    ("messages", "kind"),
    [
        ([("n", 1, I), ("n", 1, I)], int),
        ([("n", 1.0, I), ("n", 1, I)], float),
        ([("n", 1, I), ("n", 1.0, I)], float),
    ],
)
def test_integers_stay_integers(messages: list[tuple[str, Any, MetricMode]], kind: type) -> None:
    assert type(after(*messages)["n"]) is kind


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b"])
@pytest.mark.parametrize("mode", list(MetricMode))
def test_a_name_with_an_empty_part_is_refused(name: str, mode: MetricMode) -> None:
    metrics = Metrics()
    assert not metrics.apply(Metric(name, 1, mode))
    assert metrics.snapshot() == {}


def test_a_sum_that_no_float_can_hold_is_ignored() -> None:
    assert after(("n", 10**400, R), ("n", 0.5, I)) == {"n": 10**400}


def test_a_snapshot_does_not_change_afterwards() -> None:
    metrics = Metrics()
    metrics.apply(Metric("a.l", 1, A))
    metrics.apply(Metric("d", {"k": [1]}, R))
    before = metrics.snapshot()
    metrics.apply(Metric("a.l", 2, A))
    metrics.apply(Metric("d.k", 2, A))
    assert before == {"a": {"l": [1]}, "d": {"k": [1]}}
    before["a"]["l"].append("mine")
    assert metrics.snapshot() == {"a": {"l": [1, 2]}, "d": {"k": [1, 2]}}
