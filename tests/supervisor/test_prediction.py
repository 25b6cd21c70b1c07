"""A prediction's states: what may follow what, and what can be said of it at each moment."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import LogSource, Metric, MetricMode
from supervisor.config import Limits
from supervisor.interface import PredictionStatus
from supervisor.state.prediction import Prediction
from supervisor.state.transitions import IllegalTransition

S = PredictionStatus

# What the specification allows, written down apart from the code.
ALLOWED = {
    (S.STARTING, "start"): S.PROCESSING,
    (S.STARTING, "fail"): S.FAILED,
    (S.STARTING, "cancel"): S.CANCELED,
    (S.PROCESSING, "unsent"): S.STARTING,
    (S.PROCESSING, "succeed"): S.SUCCEEDED,
    (S.PROCESSING, "fail"): S.FAILED,
    (S.PROCESSING, "cancel"): S.CANCELED,
}
STEPS = ("start", "unsent", "succeed", "fail", "cancel")
TERMINAL = {S.SUCCEEDED, S.FAILED, S.CANCELED}


def prediction(*, limits: Limits | None = None, **changes: object) -> Prediction:
    given = {"id": "p1", "input": {"text": "hi"}, "shown_input": {"text": "hi"}}
    return Prediction(**(given | changes), limits=limits or Limits())


def do(subject: Prediction, step: str, clock: float = 0.0) -> None:
    match step:
        case "start":
            subject.start(clock)
        case "unsent":
            subject.unsent()
        case "succeed":
            subject.succeed(clock, as_list=False)
        case "fail":
            subject.fail(clock, "no luck")
        case "cancel":
            subject.cancel(clock)


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_every_sequence_follows_the_table_and_a_refused_step_changes_nothing(
    steps: list[str],
) -> None:
    subject = prediction()
    status = S.STARTING
    for step in steps:
        following = ALLOWED.get((status, step))
        if following is None:
            before = subject.view()
            with pytest.raises(IllegalTransition, match="p1"):
                do(subject, step)
            assert subject.view() == before
        else:
            do(subject, step)
            status = following
        assert subject.status is status
        assert subject.is_terminal is (status in TERMINAL)
        view = subject.view()
        assert view.status is status
        assert (view.completed_at is not None) is (status in TERMINAL)
        assert (view.error is not None) is (status is S.FAILED)
        assert ("predict_time" in view.metrics) is (status in TERMINAL)


@pytest.mark.parametrize("terminal", ["succeed", "fail", "cancel"])
@pytest.mark.parametrize("step", STEPS)
def test_a_terminal_state_is_never_left(terminal: str, step: str) -> None:
    subject = prediction()
    subject.start(0.0)
    do(subject, terminal)
    end = subject.view()
    with pytest.raises(IllegalTransition):
        do(subject, step)
    assert subject.view() == end


def test_a_new_prediction_shows_its_input_and_nothing_else() -> None:
    before = datetime.now(UTC)
    view = prediction().view()
    assert view.id == "p1"
    assert view.status is S.STARTING
    assert view.input == {"text": "hi"}
    assert (view.logs, view.metrics, view.output, view.error) == ("", {}, None, None)
    assert (view.started_at, view.completed_at) == (None, None)
    assert view.created_at is not None
    assert view.created_at >= before


def test_queue_time_runs_from_acceptance_to_the_last_predict_and_beats_the_models_own() -> None:
    subject = prediction(queued=10.0)
    subject.start(11.0)
    subject.unsent()
    subject.start(13.5)
    subject.add_metric(Metric("queue_time", 7, MetricMode.REPLACE))
    assert subject.view().metrics == {"queue_time": 7}
    subject.succeed(14.0, as_list=False)
    assert subject.view().metrics == {"queue_time": 3.5, "predict_time": 0.5}


def test_who_leaves_the_queue_has_waited_until_then() -> None:
    subject = prediction(queued=10.0)
    subject.cancel(12.0)
    assert subject.view().metrics == {"queue_time": 2.0, "predict_time": 0.0}


def test_predict_time_runs_from_the_frame_to_the_terminal_message_and_beats_the_models_own() -> (
    None
):
    subject = prediction()
    subject.start(100.0)
    subject.add_metric(Metric("predict_time", 7, MetricMode.REPLACE))
    assert subject.view().metrics == {"predict_time": 7}
    subject.succeed(102.5, as_list=False)
    assert subject.view().metrics == {"predict_time": 2.5}


def test_predict_time_ends_with_the_workers_answer_though_files_are_still_on_their_way() -> None:
    subject = prediction()
    subject.start(100.0)
    subject.answered(102.0)
    subject.succeed(109.0, as_list=False)
    assert subject.view().metrics == {"predict_time": 2.0}


@pytest.mark.parametrize("terminal", ["fail", "cancel"])
def test_what_never_began_took_no_time(terminal: str) -> None:
    subject = prediction()
    do(subject, terminal, clock=12345.0)
    assert subject.view().metrics == {"predict_time": 0.0}
    assert subject.view().started_at is None


def test_an_attempt_that_was_not_sent_is_forgotten() -> None:
    subject = prediction()
    subject.start(10.0)
    subject.unsent()
    assert subject.view().started_at is None
    assert subject.input == {"text": "hi"}
    subject.start(20.0)
    subject.succeed(21.0, as_list=False)
    assert subject.view().metrics == {"predict_time": 1.0}


def test_the_input_is_let_go_once_it_was_sent_and_only_the_masked_one_was_ever_shown() -> None:
    subject = prediction(input={"key": "hunter2"}, shown_input={"key": "**********"})
    assert "hunter2" not in repr(subject.view())
    subject.start(0.0)
    subject.sent()
    assert subject.input is None
    subject.succeed(1.0, as_list=False)
    assert subject.view().input == {"key": "**********"}


@pytest.mark.parametrize(
    ("items", "as_list", "output"),
    [
        ([], False, None),
        ([], True, []),
        (["a"], False, "a"),
        (["a"], True, ["a"]),
        ([None], False, None),
        ([["a"]], False, ["a"]),
        (["a", "b"], False, ["a", "b"]),
        (["a", "b"], True, ["a", "b"]),
    ],
)
def test_outputs_are_wrapped_as_coglet_does(
    items: list[object], as_list: bool, output: object
) -> None:
    subject = prediction()
    subject.start(0.0)
    assert all(subject.add_output(item, 3) for item in items)
    subject.succeed(1.0, as_list=as_list)
    assert subject.view().output == output


def test_the_output_so_far_is_a_list_that_does_not_change_afterwards() -> None:
    subject = prediction()
    subject.start(0.0)
    assert subject.view().output is None
    subject.add_output("a", 3)
    early = subject.view()
    subject.add_output("b", 3)
    assert early.output == ["a"]
    assert subject.view().output == ["a", "b"]


@pytest.mark.parametrize("terminal", ["fail", "cancel"])
def test_what_did_not_succeed_keeps_what_it_has_brought(terminal: str) -> None:
    subject = prediction()
    subject.start(0.0)
    subject.add_output("a", 3)
    subject.add_log("half way\n", LogSource.STDOUT)
    subject.add_metric(Metric("tokens", 3, MetricMode.REPLACE))
    do(subject, terminal, 1.0)
    view = subject.view()
    assert view.output == view.as_state()["output"] == ["a"]
    assert "output" not in view.as_answer()
    assert view.logs == "half way\n"
    assert view.metrics == {"tokens": 3, "predict_time": 1.0}


@pytest.mark.parametrize("terminal", ["succeed", "fail", "cancel"])
def test_a_doomed_prediction_fails_whatever_its_worker_says(terminal: str) -> None:
    subject = prediction()
    subject.start(0.0)
    subject.add_output("a", 3)
    subject.doom_with("a file is missing")
    subject.doom_with("and so is another")
    assert subject.view().output is None
    assert subject.view().error is None
    do(subject, terminal, 1.0)
    assert subject.status is S.FAILED
    assert subject.view().error == "a file is missing"


def test_a_summary_is_the_view_without_what_may_be_big() -> None:
    subject = prediction()
    subject.start(0.0)
    subject.add_log("x" * 1000, LogSource.STDOUT)
    subject.add_output("y" * 1000, 1002)
    subject.add_metric(Metric("n", 1, MetricMode.REPLACE))
    subject.succeed(1.0, as_list=False)
    summary, view = subject.summary(), subject.view()
    assert evolve(view, input={}, logs="", output=None) == summary
    assert summary.size < 100 < 2000 < view.size


@pytest.mark.parametrize("terminal", ["succeed", "fail", "cancel"])
def test_what_comes_behind_its_end_changes_nothing(terminal: str) -> None:
    subject = prediction()
    subject.start(0.0)
    subject.add_output("a", 3)
    do(subject, terminal)
    before, events = subject.view(), subject.history.count
    assert subject.add_output("b", 3) is False
    subject.add_log("late\n", LogSource.STDERR)
    assert subject.add_metric(Metric("n", 1, MetricMode.REPLACE)) is None
    subject.doom_with("too late")
    assert (subject.view(), subject.history.count) == (before, events)
    assert subject.doom is None


def test_too_much_output_dooms_and_is_let_go() -> None:
    subject = prediction(limits=Limits(max_output=10))
    subject.start(0.0)
    assert subject.add_output("12345678", 10)
    assert not subject.add_output("", 1)
    assert subject.doom == "Output is larger than 10 bytes (--max-output)"
    assert not subject.add_output("", 0), "what follows is not kept either"
    subject.succeed(1.0, as_list=True)
    assert subject.status is S.FAILED
    assert subject.view().error == subject.doom
    assert subject.view().output is None


def test_logs_are_one_text_in_order_of_arrival_and_bounded() -> None:
    subject = prediction(limits=Limits(max_logs=8))
    subject.start(0.0)
    subject.add_log("ab", LogSource.STDOUT)
    subject.add_log("cd", LogSource.STDOUT)
    assert subject.view().logs == "abcd"
    for _ in range(100):
        subject.add_log("wxyz", LogSource.STDOUT)
    assert subject.view().logs.startswith("abcd")
    assert subject.view().logs.endswith("wxyz")
    assert len(subject.view().logs) < 100


def test_why_metrics_are_ignored_is_told_once() -> None:
    subject = prediction()
    subject.start(0.0)
    reasons = [subject.add_metric(Metric(name, 1, MetricMode.REPLACE)) for name in ("", "a.") * 50]
    assert [reason for reason in reasons if reason] == ["its name, or a part of it, is empty"]
    deep = Metric("a" + ".a" * 20, 1, MetricMode.REPLACE)
    assert "parts" in (subject.add_metric(deep) or "")


def test_a_metric_without_a_name_is_refused() -> None:
    subject = prediction()
    subject.start(0.0)
    assert subject.add_metric(Metric("", 1, MetricMode.REPLACE)) is not None
    assert subject.add_metric(Metric("n", 1, MetricMode.REPLACE)) is None
    assert subject.view().metrics == {"n": 1}
