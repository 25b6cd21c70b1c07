"""What is said of the worker's health, over all its restarts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.interface import HealthState, SetupStatus
from supervisor.state.health import WorkerHealth, WorkerPhase
from supervisor.state.transitions import IllegalTransition

P = WorkerPhase
ALLOWED = {
    (P.STARTING, "ready"): P.READY,
    (P.STARTING, "failed"): P.RESTARTING,
    (P.STARTING, "setup_failed"): P.SETUP_FAILED,
    (P.READY, "failed"): P.RESTARTING,
    (P.RESTARTING, "spawned"): P.STARTING,
}
STEPS = ("ready", "failed", "setup_failed", "spawned")
SETUP_AFTER = {
    "ready": SetupStatus.SUCCEEDED,
    "setup_failed": SetupStatus.FAILED,
    "spawned": SetupStatus.STARTING,
}


def do(health: WorkerHealth, step: str) -> None:
    match step:
        case "failed":
            health.failed("killed by SIGKILL", pause=0.2)
        case "setup_failed":
            health.setup_failed("no weights")
        case _:
            getattr(health, step)()


@given(st.lists(st.sampled_from(STEPS), max_size=15))
def test_every_sequence_follows_the_table(steps: list[str]) -> None:
    health = WorkerHealth(1000)
    phase, setup = P.STARTING, SetupStatus.STARTING
    for step in steps:
        following = ALLOWED.get((phase, step))
        if following is None:
            with pytest.raises(IllegalTransition):
                do(health, step)
            # An illegal step is a bug that ends the program: what it says afterwards is no matter.
            return
        do(health, step)
        if step == "failed" and setup is SetupStatus.STARTING:
            setup = SetupStatus.FAILED
        setup = SETUP_AFTER.get(step, setup)
        phase = following
        assert health.phase is phase
        assert (health.refusal() is None) is (phase is P.READY)
        report = health.setup_report()
        assert report.status is setup
        assert (report.completed_at is None) is (setup is SetupStatus.STARTING)


def test_a_failed_setup_is_never_left() -> None:
    health = WorkerHealth(1000)
    health.setup_failed("no weights")
    for step in STEPS:
        with pytest.raises(IllegalTransition, match="setup failed"):
            do(health, step)
    assert health.phase is P.SETUP_FAILED


@pytest.mark.parametrize(
    ("steps", "slot_is_free", "word"),
    [
        ((), True, HealthState.STARTING),
        (("ready",), True, HealthState.READY),
        (("ready",), False, HealthState.BUSY),
        (("ready", "failed"), True, HealthState.STARTING),
        (("failed", "spawned"), True, HealthState.STARTING),
        (("setup_failed",), True, HealthState.SETUP_FAILED),
    ],
)
def test_the_words_of_coglet(steps: tuple[str, ...], slot_is_free: bool, word: HealthState) -> None:
    health = WorkerHealth(1000)
    for step in steps:
        do(health, step)
    assert health.state(slot_is_free=slot_is_free) is word


def test_why_nothing_is_taken_and_when_to_come_back() -> None:
    health = WorkerHealth(1000)
    starting = health.refusal()
    assert starting is not None
    assert starting.reason.startswith("Setup has not finished yet.")
    assert starting.retry_after == 1.0

    health.failed("killed by SIGKILL", pause=6.4)
    restarting = health.refusal()
    assert restarting is not None
    assert "killed by SIGKILL" in restarting.reason
    assert restarting.retry_after == 6.4

    health.spawned()
    health.setup_failed("RuntimeError: no weights")
    final = health.refusal()
    assert final is not None
    assert "RuntimeError: no weights" in final.reason
    assert final.retry_after is None, "waiting will not help"


def test_a_short_pause_still_asks_for_a_second() -> None:
    health = WorkerHealth(1000)
    health.failed("killed by SIGKILL", pause=0.2)
    refusal = health.refusal()
    assert refusal is not None
    assert refusal.retry_after == 1.0


def test_setup_logs_belong_to_the_latest_setup() -> None:
    health = WorkerHealth(1000)
    health.add_setup_log("loading\n")
    health.failed("exited with code 3", pause=0.2)
    report = health.setup_report()
    assert report.logs == "loading\nexited with code 3\n"
    assert report.status is SetupStatus.FAILED
    assert report.completed_at is not None
    assert report.completed_at >= report.started_at

    health.spawned()
    assert health.setup_report().logs == ""
    health.add_setup_log("loading again\n")
    health.ready()
    health.failed("killed by SIGKILL", pause=0.2)
    report = health.setup_report()
    assert report.logs == "loading again\n", "the set-up had succeeded: its end is no part of it"
    assert report.status is SetupStatus.SUCCEEDED


def test_setup_logs_are_bounded() -> None:
    health = WorkerHealth(100)
    for number in range(1000):
        health.add_setup_log(f"line {number}\n")
    logs = health.setup_report().logs
    assert logs.startswith("line 0\n")
    assert logs.endswith("line 999\n")
    assert len(logs) < 200


def test_a_worker_that_is_being_ended_takes_nothing() -> None:
    health = WorkerHealth(1000)
    health.ready()
    health.ending("it is stuck")
    health.ending("killed by SIGKILL")
    refusal = health.refusal()
    assert refusal is not None
    assert "killed by SIGKILL" in refusal.reason
    assert refusal.retry_after is not None
    assert health.state(slot_is_free=True) is HealthState.STARTING
    health.failed("killed by SIGKILL", pause=0.2)
    health.spawned()
    health.ready()
    assert health.refusal() is None
