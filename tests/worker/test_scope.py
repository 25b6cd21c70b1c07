from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.json_text import dumps, loads
from protocol.limits import INLINE_MAX
from protocol.messages import Metric, MetricMode
from worker.scope import MetricRecorder, Scope, active_scope, current_scope

if TYPE_CHECKING:
    from collections.abc import Callable

REPLACE = MetricMode.REPLACE
EXPECTED = "Expected bool, int, float, str, list, or dict."
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def sent() -> list[Metric]:
    return []


@pytest.fixture
def metrics(sent: list[Metric]) -> MetricRecorder:
    return MetricRecorder(sent.append)


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A", "cog", "a1", "a_b", "timing.inference", "a.b.c.d"])
def test_a_good_name_is_sent(name: str, metrics: MetricRecorder, sent: list[Metric]) -> None:
    metrics.record(name, 1)
    assert sent == [Metric(name, 1, REPLACE)]


@pytest.mark.parametrize(
    ("name", "text"),
    [  # the words of coglet 0.23.1, asked one by one
        ("predict_time", "'predict_time' is reserved by the runtime"),
        ("cog.x", "the 'cog.' prefix is reserved for system metrics"),
        ("cog.x.y.z.z", "the 'cog.' prefix is reserved for system metrics"),
        ("", "metric name must not be empty"),
        ("a" * 129, "metric name must be 128 characters or fewer (got 129 characters)"),
        ("é" * 65, "metric name must be 128 characters or fewer (got 130 characters)"),
        ("a." * 70, "metric name must be 128 characters or fewer (got 140 characters)"),
        ("a.b.c.d.e", "metric name must have at most 4 dot-separated segments (got 5)"),
        (".a.b.c.d.e", "metric name must have at most 4 dot-separated segments (got 6)"),
        (".", "metric name must not start with a dot"),
        (".a", "metric name must not start with a dot"),
        ("a.", "metric name must not end with a dot"),
        ("a..b", "metric name must not contain empty segments (consecutive dots)"),
        (" ", "metric name segment ' ' must start with a letter"),
        ("1a", "metric name segment '1a' must start with a letter"),
        ("é", "metric name segment 'é' must start with a letter"),
        ("-a__", "metric name segment '-a__' must start with a letter"),
        ("_", "metric name segment '_' must start with a letter"),
        ("a__b", "metric name segment 'a__b' must not contain consecutive underscores"),
        ("a__", "metric name segment 'a__' must not contain consecutive underscores"),
        ("a-b", "metric name segment 'a-b' contains invalid character '-'"),
        ("aé", "metric name segment 'aé' contains invalid character 'é'"),
        ("a-_", "metric name segment 'a-_' contains invalid character '-'"),
        ("a.b_", "metric name segment 'b_' must end with a letter or digit"),
    ],
)
def test_a_bad_name_is_refused_in_coglets_words(
    name: str, text: str, metrics: MetricRecorder, sent: list[Metric]
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        metrics.record(name, 1)
    assert str(caught.value) == text
    assert sent == []


def test_a_name_that_is_no_text_is_refused(metrics: MetricRecorder) -> None:
    with pytest.raises(TypeError, match="metric name must be a str, not int"):
        metrics.record(5, 1)  # type: ignore[arg-type]


# --- values -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, 1, 2**70, 1.5, "s", [1, None], {"a": [True]}, [], {}])
def test_every_json_value_is_sent_as_it_is(
    value: Any, metrics: MetricRecorder, sent: list[Metric]
) -> None:
    metrics.record("m", value)
    assert sent == [Metric("m", value, REPLACE)]
    assert type(sent[0].value) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (
            (1,),
            "Unsupported metric value type: tuple. Expected bool, int, float, str, list, or dict.",
        ),
        (
            b"x",
            "Unsupported metric value type: bytes. Expected bool, int, float, str, list, or dict.",
        ),
        ([(1,)], "Cannot convert tuple to JSON metric value"),
        ({"a": {1}}, "Cannot convert set to JSON metric value"),
        ({1: 2}, "'int' object cannot be cast as 'str'"),
    ],
)
def test_other_types_are_refused_in_coglets_words(
    value: Any, text: str, metrics: MetricRecorder, sent: list[Metric]
) -> None:
    with pytest.raises(TypeError) as caught:
        metrics.record("m", value)
    assert str(caught.value) == text
    assert sent == []


@pytest.mark.parametrize("value", [NAN, INFINITY, [-INFINITY], {"a": NAN}])
def test_what_is_no_number_in_json_is_refused(
    value: Any, metrics: MetricRecorder, sent: list[Metric]
) -> None:
    with pytest.raises(ValueError, match=r"Metric 'm' cannot be sent as JSON: .* is no number"):
        metrics.record("m", value)
    assert sent == []


def test_an_integer_that_cannot_be_read_again_is_refused(
    metrics: MetricRecorder, sent: list[Metric]
) -> None:
    for value in (10**4300, -(10**4299), [10**4300]):
        with pytest.raises(ValueError, match=r"Metric 'm' cannot be sent as JSON: .* 4300 digits"):
            metrics.record("m", value)
    assert sent == []


def test_half_a_surrogate_pair_is_refused(metrics: MetricRecorder, sent: list[Metric]) -> None:
    with pytest.raises(ValueError, match=r"Metric 'm' cannot be sent as JSON: .*surrogates"):
        metrics.record("m", "\ud800")
    assert sent == []


def test_a_metric_too_big_for_a_frame_fails_alone(
    metrics: MetricRecorder, sent: list[Metric]
) -> None:
    with pytest.raises(ValueError, match=f"'m' is too big: {INLINE_MAX + 3} bytes of JSON"):
        metrics.record("m", "x" * (INLINE_MAX + 1))
    metrics.record("m", "x" * (INLINE_MAX - 2))
    metrics.record("n", ["x"] * 10)
    assert [metric.name for metric in sent] == ["m", "n"]


def test_a_cycle_is_refused(metrics: MetricRecorder, sent: list[Metric]) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="more than 100 levels, or a cycle"):
        metrics.record("m", value)
    assert sent == []


def test_later_changes_of_a_value_are_not_sent(metrics: MetricRecorder, sent: list[Metric]) -> None:
    value = {"a": [1]}
    metrics.record("m", value)
    value["a"].append(2)
    assert sent[0].value == {"a": [1]}


def test_subclasses_become_plain(metrics: MetricRecorder, sent: list[Metric]) -> None:
    class Text(str):
        def __str__(self) -> str:
            return "another"

    metrics.record("i", IntEnum("Number", "ONE").ONE)  # type: ignore[attr-defined]
    metrics.record("s", Text("text"))
    assert [(type(metric.value), metric.value) for metric in sent] == [(int, 1), (str, "text")]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
        max_leaves=20,
    ).filter(lambda value: value is not None)
)
def test_whatever_is_sent_survives_the_wire(value: Any) -> None:
    sent: list[Metric] = []
    MetricRecorder(sent.append).record("m", value)
    assert loads(dumps(sent[0].value)) == value


# --- modes and types --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        (None, MetricMode.REPLACE),
        ("replace", MetricMode.REPLACE),
        ("incr", MetricMode.INCREMENT),
        ("increment", MetricMode.INCREMENT),
        ("append", MetricMode.APPEND),
    ],
)
def test_modes(
    word: str | None, mode: MetricMode, metrics: MetricRecorder, sent: list[Metric]
) -> None:
    metrics.record("m", 1, mode=word)
    assert sent == [Metric("m", 1, mode)]


@pytest.mark.parametrize("name", ["m", ""])
def test_the_mode_is_looked_at_first(name: str, metrics: MetricRecorder) -> None:
    with pytest.raises(TypeError) as caught:
        metrics.record(name, object(), mode="bad")
    assert str(caught.value) == (
        "Invalid metric mode: 'bad'. Expected 'replace', 'incr', or 'append'."
    )


@pytest.mark.parametrize(
    ("first", "second", "mode", "text"),
    [
        (1, "x", None, "Metric 'm' has type int, cannot set to str without deleting first"),
        (1, 1.5, "replace", "Metric 'm' has type int, cannot set to float without deleting first"),
        (1, True, "incr", "Metric 'm' has type int, cannot set to bool without deleting first"),
        ([1], {}, None, "Metric 'm' has type list, cannot set to dict without deleting first"),
        ("x", "y", "incr", "Increment mode requires int or float, got str"),
        (True, True, "incr", "Increment mode requires int or float, got bool"),
    ],
)
def test_a_name_keeps_its_type(
    first: Any, second: Any, mode: str | None, text: str, metrics: MetricRecorder
) -> None:
    metrics.record("m", first)
    with pytest.raises(TypeError) as caught:
        metrics.record("m", second, mode=mode)
    assert str(caught.value) == text


def test_after_a_delete_the_type_is_free(metrics: MetricRecorder, sent: list[Metric]) -> None:
    metrics["m"] = 1
    del metrics["m"]
    metrics["m"] = "text"
    assert [metric.value for metric in sent] == [1, None, "text"]


def test_a_list_may_be_appended_values_of_any_type(
    metrics: MetricRecorder, sent: list[Metric]
) -> None:
    for value in (1, "x", 2.5):
        metrics.record("m", value, mode="append")
    assert [metric.value for metric in sent] == [1, "x", 2.5]


def test_a_refused_value_does_not_settle_the_type(metrics: MetricRecorder) -> None:
    with pytest.raises(ValueError, match="no number"):
        metrics.record("m", float("nan"))
    metrics.record("m", 1)
    assert repr(metrics) == "MetricRecorder(keys=1)"


@pytest.mark.parametrize(
    "delete",
    [
        lambda metrics: metrics.delete("m"),
        lambda metrics: metrics.__delitem__("m"),
        lambda metrics: metrics.__setitem__("m", None),
        lambda metrics: metrics.record("m", None),
        lambda metrics: metrics.record("m", None, "incr"),
    ],
)
def test_deleting_sends_null(
    delete: Callable[[MetricRecorder], None], metrics: MetricRecorder, sent: list[Metric]
) -> None:
    delete(metrics)
    assert sent == [Metric("m", None, REPLACE)]


def test_deleting_minds_the_grammar_but_no_reserved_names(
    metrics: MetricRecorder, sent: list[Metric]
) -> None:
    metrics.delete("predict_time")
    metrics.delete("cog.x")
    with pytest.raises(ValueError, match="'1bad' must start with a letter"):
        metrics.delete("1bad")
    assert [metric.name for metric in sent] == ["predict_time", "cog.x"]


# --- scopes -----------------------------------------------------------------------------------


def test_outside_of_predictions_nothing_is_recorded_but_the_mode_is_checked() -> None:
    scope = current_scope()
    scope.record_metric("not a name", object())
    scope.metrics["1"] = 2
    del scope.metrics["1"]
    with pytest.raises(TypeError, match="Invalid metric mode: 'bad'"):
        scope.record_metric("m", 1, "bad")
    assert repr(scope) == "Scope(MetricRecorder(inactive))"
    assert scope.context == {}


def test_a_scope_is_current_until_it_ends(sent: list[Metric]) -> None:
    context = {"k": "v"}
    with active_scope(sent.append, context) as scope:
        assert current_scope() is scope
        scope.record_metric("m", 1)
        scope.context["more"] = "x"
        assert repr(current_scope()) == "Scope(MetricRecorder(keys=1))"
    assert context == {"k": "v"}
    assert current_scope() is not scope
    scope.record_metric("late", 1)
    assert sent == [Metric("m", 1, REPLACE)]
    assert repr(scope) == "Scope(MetricRecorder(inactive))"


def test_a_scope_ends_with_an_error_too(sent: list[Metric]) -> None:
    with pytest.raises(RuntimeError), active_scope(sent.append, {}) as scope:
        raise RuntimeError
    scope.record_metric("m", 1)
    assert sent == []


def in_thread(call: Callable[[], Any]) -> Any:
    """What `call` answers in a new thread, which inherits no context."""
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: contextvars.Context().run(lambda: answers.append(call()))
    )
    thread.start()
    thread.join()
    return answers[0]


def test_a_thread_without_context_finds_only_a_process_wide_scope() -> None:
    with active_scope(lambda _: None, {}, process_wide=True) as scope:
        assert in_thread(current_scope) is scope
    assert repr(in_thread(current_scope)) == "Scope(MetricRecorder(inactive))"
    with active_scope(lambda _: None, {}):
        assert repr(in_thread(current_scope)) == "Scope(MetricRecorder(inactive))"


def test_a_later_scope_is_not_silenced_by_the_end_of_an_earlier_one() -> None:
    first = active_scope(lambda _: None, {}, process_wide=True)
    first.__enter__()
    with active_scope(lambda _: None, {}, process_wide=True) as second:
        assert in_thread(current_scope) is second
    first.__exit__(None, None, None)
    assert repr(in_thread(current_scope)) == "Scope(MetricRecorder(inactive))"


def test_concurrent_predictions_never_meet() -> None:
    async def predict(number: int, seen: list[Metric]) -> Scope:
        with active_scope(seen.append, {"number": str(number)}):
            for _ in range(5):
                await asyncio.sleep(0)
                current_scope().record_metric("n", number)
                child = await asyncio.create_task(asyncio.to_thread(current_scope))
                assert child.context == {"number": str(number)}
            return current_scope()

    async def main() -> list[list[Metric]]:
        seen: list[list[Metric]] = [[] for _ in range(4)]
        scopes = await asyncio.gather(*(predict(i, each) for i, each in enumerate(seen)))
        assert len({id(scope) for scope in scopes}) == 4
        return seen

    for number, seen in enumerate(asyncio.run(main())):
        assert [metric.value for metric in seen] == [number] * 5


def test_a_forked_child_is_silent(sent: list[Metric]) -> None:
    reader, writer = os.pipe()

    def send(metric: Metric) -> None:
        os.write(writer, metric.name.encode())

    with active_scope(send, {}, process_wide=True):
        scope = current_scope()
        child = os.fork()
        if child == 0:
            scope.record_metric("held", 1)
            current_scope().record_metric("current", 1)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        scope.record_metric("parent", 1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"parent"
