"""The events of a prediction: numbered, bounded, and honest about what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.interface import Event, EventKind, Gap
from supervisor.state.history import LAG_MAX, History


def filled(count: int, *, replayed: int = 1024, limit: int = 10**9, size: int = 1) -> History:
    history = History(replayed, limit)
    history.expect_reader()
    for number in range(count):
        history.append(EventKind.LOG, {"data": number}, size)
    return history


def test_events_are_numbered_from_0() -> None:
    history = filled(3)
    found = [history.at(place) for place in range(4)]
    assert found == [*(Event(n, EventKind.LOG, {"data": n}) for n in range(3)), None]


def test_who_is_there_may_lie_so_many_events_behind_and_no_more() -> None:
    history = filled(LAG_MAX, replayed=0)
    assert isinstance(history.at(0), Event)
    history.append(EventKind.LOG, {}, 1)
    assert history.at(0) == Gap(1, lagged=True)
    assert history.size == LAG_MAX


def test_who_comes_late_gets_what_the_operator_wants() -> None:
    assert filled(10, replayed=0).missed_by(0) == 10
    assert filled(10, replayed=4).missed_by(0) == 6
    assert filled(10, replayed=4).missed_by(7) == 0
    assert filled(10, replayed=10).missed_by(0) == 0


def test_more_events_are_kept_if_the_operator_wants_it() -> None:
    history = filled(LAG_MAX + 1000, replayed=LAG_MAX + 500)
    assert history.missed_by(500) == 0
    assert history.at(499) == Gap(1, lagged=True)


def test_without_a_reader_only_what_is_replayed_is_kept() -> None:
    history = History(2, 10**9)
    for _ in range(5):
        history.append(EventKind.LOG, {}, 1)
    assert history.size == 2
    history.expect_reader()
    assert history.missed_by(0) == 3


def test_bytes_are_bounded_but_the_newest_event_is_kept() -> None:
    history = filled(10, limit=35, size=10)
    assert history.size == 30
    assert history.at(6) == Gap(1, lagged=True)
    history.append(EventKind.OUTPUT, {}, 1000)
    assert history.at(10) == Event(10, EventKind.OUTPUT, {})
    assert history.size == 1000


@given(
    st.lists(st.integers(0, 50), max_size=60), st.integers(0, 20), st.integers(0, 200), st.data()
)
def test_a_reader_gets_every_event_or_a_gap_that_counts_the_rest(
    sizes: list[int], replayed: int, limit: int, data: st.DataObject
) -> None:
    history = History(replayed, limit)
    for size in sizes:
        history.append(EventKind.LOG, {}, size)
    place = data.draw(st.integers(0, len(sizes)))
    match history.at(place):
        case None:
            assert place == len(sizes)
        case Gap(skipped=skipped):
            assert isinstance(history.at(place + skipped), Event)
            assert isinstance(history.at(place + skipped - 1), Gap)
        case Event(number=number):
            assert number == place
