"""The rules of `spec/protocol.md` 5, one row each."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.messages import Metric, MetricMode
from supervisor.state.metrics import Metrics

R, I, A = MetricMode.REPLACE, MetricMode.INCREMENT, MetricMode.APPEND  # noqa: E741


def after(*messages: tuple[str, Any, MetricMode]) -> dict[str, Any]:
    metrics = Metrics(limit=1000)
    for name, value, mode in messages:
        assert metrics.apply(Metric(name, value, mode), 1) is None
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


@pytest.mark.parametrize("name", ["", ".", "a.", ".a", "a..b", ".".join("a" * 17)])
@pytest.mark.parametrize("mode", list(MetricMode))
def test_a_name_with_an_empty_part_or_too_many_is_refused(name: str, mode: MetricMode) -> None:
    metrics = Metrics(limit=1000)
    assert "its name" in (metrics.apply(Metric(name, 1, mode), 1) or "")
    assert metrics.snapshot() == {}


def test_a_sum_that_no_float_can_hold_is_ignored() -> None:
    assert after(("n", 10**400, R), ("n", 0.5, I)) == {"n": 10**400}


def test_a_snapshot_does_not_change_afterwards() -> None:
    metrics = Metrics(limit=1000)
    metrics.apply(Metric("a.l", 1, A), 1)
    metrics.apply(Metric("d", {"k": [1]}, R), 1)
    before = metrics.snapshot()
    metrics.apply(Metric("a.l", 2, A), 1)
    metrics.apply(Metric("d.k", 2, A), 1)
    assert before == {"a": {"l": [1]}, "d": {"k": [1]}}
    before["a"]["l"].append("mine")
    assert metrics.snapshot() == {"a": {"l": [1, 2]}, "d": {"k": [1, 2]}}


# --- how much is kept ---------------------------------------------------------------------------


class Recorded:
    """Metrics with room for 100 bytes."""

    def __init__(self) -> None:
        self.metrics = Metrics(limit=100)

    def keeps(self, name: str, value: Any, mode: MetricMode, size: int) -> bool:
        before = self.metrics.snapshot()
        ignored = self.metrics.apply(Metric(name, value, mode), size)
        if ignored is not None:
            assert "more than 100 bytes of them (--max-metrics)" in ignored
            assert self.metrics.snapshot() == before
        return ignored is None


def test_what_goes_beyond_the_limit_is_ignored_and_the_rest_kept() -> None:
    recorded = Recorded()
    assert recorded.keeps("a", "x", R, 60)
    assert not recorded.keeps("b", "y", R, 41)
    assert recorded.keeps("b", "y", R, 40)
    assert not recorded.keeps("c", 1, I, 1)
    assert recorded.metrics.snapshot() == {"a": "x", "b": "y"}


def test_one_name_may_be_replaced_and_counted_up_for_ever() -> None:
    recorded = Recorded()
    for step in range(1000):
        assert recorded.keeps("step", step, R, 90)
        assert recorded.keeps("n", 1, I, 10)
    assert recorded.metrics.snapshot() == {"step": 999, "n": 1000}


def test_a_list_may_not_grow_for_ever() -> None:
    recorded = Recorded()
    kept = [recorded.keeps("l", number, A, 10) for number in range(20)]
    assert kept == [True] * 10 + [False] * 10
    assert recorded.metrics.snapshot() == {"l": list(range(10))}


@pytest.mark.parametrize("value", [None, "short"])
def test_what_is_deleted_or_replaced_makes_room(value: str | None) -> None:
    recorded = Recorded()
    for name in ("a.b", "a.c", "a.d.e"):
        assert recorded.keeps(name, "x", R, 30)
    assert not recorded.keeps("z", "x", R, 90)
    assert recorded.keeps("a", value, R, 5)
    assert recorded.keeps("z", "x", R, 90)


def test_a_value_that_becomes_an_object_makes_room() -> None:
    recorded = Recorded()
    assert recorded.keeps("a", "long", R, 80)
    assert recorded.keeps("a.b", 1, R, 20)
    assert recorded.keeps("z", 1, R, 80)
