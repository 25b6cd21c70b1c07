"""The pauses between workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config import Times
from supervisor.state.restart import RestartPolicy


def middle(low: float, high: float) -> float:
    return (low + high) / 2


def test_pauses_double_up_to_the_longest() -> None:
    policy = RestartPolicy(Times(), middle)
    pauses = [policy.pause_after(None) for _ in range(8)]
    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    assert policy.failures == 8


def test_a_worker_that_was_ready_long_enough_starts_the_count_again() -> None:
    policy = RestartPolicy(Times(restart_reset=60.0), middle)
    policy.pause_after(None)
    assert policy.pause_after(59.9) == pytest.approx(0.4)
    assert policy.pause_after(60.0) == pytest.approx(0.2)
    assert policy.failures == 1
    assert policy.pause_after(None) == pytest.approx(0.4)


def test_the_jitter_is_drawn_from_its_share_of_the_pause() -> None:
    times = Times(restart_pause=1.0, restart_jitter=0.2)
    assert RestartPolicy(times, min).pause_after(None) == pytest.approx(0.8)
    assert RestartPolicy(times, max).pause_after(None) == pytest.approx(1.2)


def test_a_worker_that_fails_for_days_does_not_overflow() -> None:
    policy = RestartPolicy(Times(), middle)
    pauses = {policy.pause_after(None) for _ in range(5000)}
    assert max(pauses) == pytest.approx(10.0)


@given(st.lists(st.none() | st.floats(0, 1000), max_size=40))
def test_pauses_stay_in_their_bounds_and_never_shrink_within_a_row(
    lives: list[float | None],
) -> None:
    times = Times()
    policy = RestartPolicy(times, middle)
    last = 0.0
    for ready_for in lives:
        pause = policy.pause_after(ready_for)
        assert times.restart_pause <= pause <= times.restart_pause_max
        if ready_for is not None and ready_for >= times.restart_reset:
            assert pause == times.restart_pause
        else:
            assert pause >= last
        last = pause
