"""The limit of open descriptors: the sums, and what an operator is told."""

from __future__ import annotations

import math
import resource
import subprocess

import pytest
from structlog.testing import capture_logs

from supervisor.descriptors import DescriptorLimit, limit_descriptors_of, raise_limit


@pytest.mark.parametrize(("slots", "limit"), [(1, 130), (448, 1024)])
def test_as_many_slots_as_fit(slots: int, limit: int) -> None:
    assert DescriptorLimit(before=64, now=limit).shortage(slots) is None
    assert DescriptorLimit(before=64, now=limit - 1).shortage(slots) is not None


def test_a_shortage_says_what_to_do() -> None:
    assert DescriptorLimit(before=256, now=1024).shortage(500) == (
        "500 slots need 1128 open descriptors, but the limit is 1024: "
        "raise it (ulimit -n 1128), or use at most 448 (--max-concurrency)"
    )
    assert DescriptorLimit(before=64, now=100).shortage(1) == (
        "1 slot needs 130 open descriptors, but the limit is 100: raise it (ulimit -n 130)"
    )


def test_too_many_connections_are_worth_a_notice() -> None:
    limit = DescriptorLimit(before=1024, now=1024)
    assert limit.notice(slots=1, max_connections=894) is None
    assert limit.notice(slots=1, max_connections=1000) == (
        "the limit of 1024 open descriptors leaves room for about 894 HTTP connections, and "
        "--max-connections is 1000: lower that, or raise the limit (ulimit -n 1130)"
    )


@pytest.mark.parametrize(("slots", "expected"), [(1, 1024), (448, 1024), (449, 1026)])
def test_the_worker_keeps_what_was_there_before_unless_its_slots_need_more(
    slots: int, expected: int
) -> None:
    assert DescriptorLimit(before=1024, now=20_000).of_worker(slots) == expected


def test_no_limit_is_no_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives this limit to nobody; containers that emulate one do."""
    unlimited = resource.RLIM_INFINITY, resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: unlimited)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    limit = raise_limit()
    assert limit.shortage(slots=10_000) is None
    assert limit.notice(slots=1, max_connections=1_000_000) is None
    assert limit.of_worker(slots=1) == math.inf


@pytest.mark.parametrize(
    ("soft", "hard", "expected"),
    [
        (1024, resource.RLIM_INFINITY, 1024),
        (math.inf, 4096, 4096),
        (math.inf, resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    ],
)
def test_a_workers_limit_where_there_is_none(
    soft: float, hard: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def prlimit(_pid: int, _what: int, limits: tuple[int, int] | None = None) -> tuple[int, int]:
        told.append(limits)
        return hard, hard

    monkeypatch.setattr(resource, "prlimit", prlimit)
    limit_descriptors_of(1, soft)
    assert told[-1] == (expected, hard)


def test_a_worker_that_cannot_be_limited_is_a_warning() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with capture_logs() as logged:
        limit_descriptors_of(process.pid, 1024)
    (entry,) = logged
    assert (entry["log_level"], entry["pid"]) == ("warning", process.pid)
