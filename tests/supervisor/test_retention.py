"""What is remembered of finished predictions, and for how long."""

from __future__ import annotations

from typing import Any

from supervisor.config import Limits
from supervisor.job import Job
from supervisor.retention import Retention
from supervisor.state.prediction import Prediction


def finished(name: str, output: str = "") -> Job:
    prediction = Prediction(id=name, input={}, shown_input={}, limits=Limits())
    job = Job(prediction, withdraw=lambda _: False, over=lambda _: None)
    prediction.start(0.0)
    prediction.add_output(output, len(output))
    prediction.succeed(1.0, as_list=False)
    return job


def kept(retention: Retention, clock: float = 0.0) -> list[str]:
    return [job.prediction.id for job in retention.all(clock)]


def remembering(*names: str, **limits: Any) -> Retention:
    retention = Retention(Limits(**limits))
    for clock, name in enumerate(names):
        retention.add(finished(name), float(clock))
    return retention


def test_by_id() -> None:
    retention = remembering("a", "b")
    found = retention.get("a", 1.0)
    assert found is not None
    assert found.prediction.id == "a"
    assert retention.get("c", 1.0) is None


def test_the_oldest_go_when_there_are_too_many() -> None:
    assert kept(remembering("a", "b", "c", keep_count=2)) == ["b", "c"]
    assert kept(remembering("a", keep_count=0)) == []


def test_each_goes_at_its_age() -> None:
    retention = remembering("a", "b", keep_age=10)
    assert kept(retention, 9.9) == ["a", "b"]
    assert kept(retention, 10.0) == ["b"]
    assert retention.get("b", 11.0) is None
    assert retention.size == 0


def test_bytes_are_bounded() -> None:
    weight = finished("x", "o" * 1000).prediction.size
    retention = Retention(Limits(keep_bytes=int(weight * 2.5)))
    for name in "abc":
        retention.add(finished(name, "o" * 1000), 0.0)
    assert kept(retention) == ["b", "c"]
    retention.add(finished("big", "o" * 10_000), 0.0)
    assert kept(retention) == ["big"], "its client may come for it"
    retention.add(finished("d"), 0.0)
    assert kept(retention) == ["d"]


def test_an_id_that_ends_again_is_remembered_once() -> None:
    retention = remembering("a", "b", "a")
    assert kept(retention) == ["b", "a"]
    retention.forget("a")
    retention.forget("a")
    assert kept(retention) == ["b"]
