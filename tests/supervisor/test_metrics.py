"""The rules of `spec/protocol.md` 5, one row each."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import Metric, MetricMode
from supervisor.state.metrics import Metrics

R, I, A = MetricMode.REPLACE, MetricMode.INCREMENT, MetricMode.APPEND  # noqa: E741


def after(*messages: tuple[str, Any, MetricMode]) -> dict[str, Any]:
    metrics = Metrics(limit=1000)
    for name, value, mode in messages:
        assert metrics.apply(Metric(name, value, mode)) is None
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
    assert "its name" in (metrics.apply(Metric(name, 1, mode)) or "")
    assert metrics.snapshot() == {}


def test_a_sum_that_no_float_can_hold_is_ignored() -> None:
    assert after(("n", 10**400, R), ("n", 0.5, I)) == {"n": 10**400}


def test_a_snapshot_does_not_change_afterwards() -> None:
    metrics = Metrics(limit=1000)
    metrics.apply(Metric("a.l", 1, A))
    metrics.apply(Metric("d", {"k": [1]}, R))
    before = metrics.snapshot()
    metrics.apply(Metric("a.l", 2, A))
    metrics.apply(Metric("d.k", 2, A))
    assert before == {"a": {"l": [1]}, "d": {"k": [1]}}
    before["a"]["l"].append("mine")
    assert metrics.snapshot() == {"a": {"l": [1, 2]}, "d": {"k": [1, 2]}}


# --- how much is kept ---------------------------------------------------------------------------


class Recorded:
    """Metrics with room for `limit` bytes of JSON."""

    def __init__(self, limit: int = 100) -> None:
        self.metrics = Metrics(limit)
        self.limit = limit

    def keeps(self, name: str, value: Any, mode: MetricMode = R) -> bool:
        before = self.metrics.snapshot()
        ignored = self.metrics.apply(Metric(name, value, mode))
        if ignored is not None:
            assert f"more than {self.limit} bytes of them (--max-metrics)" in ignored
            assert self.metrics.snapshot() == before
        return ignored is None

    def json_size(self) -> int:
        return len(json.dumps(self.metrics.snapshot(), separators=(",", ":"), ensure_ascii=False))


def test_what_goes_beyond_the_limit_is_ignored_and_the_rest_kept() -> None:
    recorded = Recorded()
    assert recorded.keeps("a", "x" * 60)
    assert not recorded.keeps("b", "y" * 40)
    assert recorded.keeps("b", "y" * 22)
    assert not recorded.keeps("c", 1, I)
    assert recorded.metrics.snapshot() == {"a": "x" * 60, "b": "y" * 22}


def test_the_limit_is_of_json_not_of_messages() -> None:
    recorded = Recorded(10_000)
    kept = 0
    while recorded.keeps("loss", 0.25, A):
        kept += 1
    assert 9_990 <= recorded.json_size() <= 10_000
    assert kept > 1990  # of five bytes each: "0.25,"


@pytest.mark.parametrize(
    "value", [10**90, "\x01" * 17, "é" * 48, [[1, 2, 3]] * 13, {"k": "v" * 90}]
)
def test_values_weigh_what_their_json_does(value: Any) -> None:
    recorded = Recorded()
    assert not recorded.keeps("name", value)
    assert recorded.keeps("name", 0.5)


def test_long_names_count() -> None:
    recorded = Recorded()
    assert not recorded.keeps("n" * 100, 1)
    assert not recorded.keeps(".".join(["part"] * 10), 1)


def test_one_name_may_be_replaced_and_counted_up_for_ever() -> None:
    recorded = Recorded()
    for step in range(1000):
        assert recorded.keeps("step", "x" * 60 + f"{step:4}")
        assert recorded.keeps("n", 1, I)
    assert recorded.metrics.snapshot() == {"step": "x" * 60 + " 999", "n": 1000}


def test_a_number_may_not_be_counted_up_to_any_length() -> None:
    recorded = Recorded()
    assert recorded.keeps("n", 1, I)
    assert not recorded.keeps("n", 10**300, I)
    assert recorded.keeps("n", 1, I)


def test_a_number_that_json_cannot_say_is_ignored() -> None:
    metrics = Metrics(100_000)
    assert metrics.apply(Metric("n", 10**4299, I)) is None
    for _ in range(8):
        assert metrics.apply(Metric("n", 10**4299, I)) is None
    assert metrics.apply(Metric("n", 10**4299, I)) == "JSON cannot say its value"
    assert metrics.snapshot() == {"n": 9 * 10**4299}


def test_a_list_may_not_grow_for_ever() -> None:
    recorded = Recorded()
    kept = [recorded.keeps("l", "1234567", A) for _ in range(20)]
    assert kept == [True] * 9 + [False] * 11
    assert recorded.json_size() <= 100


@pytest.mark.parametrize("value", [None, "short", {"c": "x" * 20}])
def test_what_is_deleted_or_replaced_makes_room(value: Any) -> None:
    recorded = Recorded()
    for name in ("a.b", "a.c", "a.d.e"):
        assert recorded.keeps(name, "x" * 18)
    assert not recorded.keeps("z", "x" * 50)
    assert recorded.keeps("a", value)
    assert recorded.keeps("z", "x" * 50)


def test_an_object_may_be_replaced_by_one_as_big() -> None:
    recorded = Recorded()
    assert recorded.keeps("a.b", "x" * 60)
    assert recorded.keeps("a", {"c": "y" * 60})
    assert recorded.keeps("a.c", "z" * 60)
    assert recorded.metrics.snapshot() == {"a": {"c": "z" * 60}}


def test_a_value_that_becomes_an_object_makes_room() -> None:
    recorded = Recorded()
    assert recorded.keeps("a", "x" * 80)
    assert recorded.keeps("a.b", 1)
    assert recorded.keeps("z", "x" * 75)


_names = st.lists(st.sampled_from("abé"), min_size=1, max_size=3).map(".".join)
_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


@given(st.lists(st.tuples(_names, _values, st.sampled_from(MetricMode)), max_size=30))
def test_what_is_kept_is_never_more_than_the_limit(
    messages: list[tuple[str, Any, MetricMode]],
) -> None:
    recorded = Recorded()
    for message in messages:
        recorded.keeps(*message)
        assert recorded.json_size() <= 100
