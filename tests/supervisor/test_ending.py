"""The words for how an incarnation ended."""

from __future__ import annotations

import signal

import pytest

from supervisor.ending import Cause, IncarnationEnd
from supervisor.link import WorkerEnd

ABORTED = WorkerEnd(None, signal.SIGABRT, "free(): invalid pointer\n")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (IncarnationEnd(Cause.EXITED, worker=ABORTED), "killed by SIGABRT"),
        (IncarnationEnd(Cause.EXITED, worker=WorkerEnd(3, None)), "exited with code 3"),
        (IncarnationEnd(Cause.CHANNEL_CLOSED, "slot 0", ABORTED), "killed by SIGABRT"),
        (
            IncarnationEnd(Cause.CHANNEL_CLOSED, "slot 0", WorkerEnd(None, 9, forced=True)),
            "it closed a channel: slot 0",
        ),
        (IncarnationEnd(Cause.SETUP_FAILED, "no weights", WorkerEnd(0, None)), "no weights"),
        (IncarnationEnd(Cause.FATAL, "no GPU", ABORTED), "no GPU"),
        (IncarnationEnd(Cause.STUCK, "slot 0 does not read"), "it is stuck: slot 0 does not read"),
        (IncarnationEnd(Cause.SETUP_TIMEOUT, "after 3 s"), "it took too long to set up: after 3 s"),
        (IncarnationEnd(Cause.POISONED), "it lost all its slots"),
        (IncarnationEnd(Cause.SPAWN_FAILED, "no python"), "it could not be started: no python"),
    ],
)
def test_reasons(end: IncarnationEnd, reason: str) -> None:
    assert end.reason() == reason


def test_a_crash_ends_a_prediction_with_its_last_words() -> None:
    end = IncarnationEnd(Cause.EXITED, worker=ABORTED)
    assert end.prediction_error() == (
        "Worker crashed: killed by SIGABRT. Its last words: free(): invalid pointer"
    )


def test_only_the_last_of_many_words_are_in_the_error() -> None:
    words = "".join(f"line {number}\n" for number in range(5000))
    end = IncarnationEnd(Cause.EXITED, worker=WorkerEnd(1, None, words))
    error = end.prediction_error()
    assert error.endswith("line 4999")
    assert len(error) < 2100


@pytest.mark.parametrize("words", ["", "\n \n"])
def test_a_worker_without_last_words(words: str) -> None:
    end = IncarnationEnd(Cause.EXITED, worker=WorkerEnd(1, None, words))
    assert end.prediction_error() == "Worker crashed: exited with code 1"


def test_what_ended_because_it_was_asked_to_did_not_crash() -> None:
    end = IncarnationEnd(Cause.ASKED, worker=WorkerEnd(0, None))
    assert end.prediction_error() == "The server was shut down before the prediction ended"


@pytest.mark.parametrize("cause", list(Cause))
def test_only_a_failed_setup_is_final(cause: Cause) -> None:
    assert IncarnationEnd(cause).is_final is (cause is Cause.SETUP_FAILED)


@pytest.mark.parametrize("first", list(Cause))
@pytest.mark.parametrize("later", list(Cause))
def test_the_first_cause_counts_unless_the_worker_itself_has_said_why(
    first: Cause, later: Cause
) -> None:
    seen = (Cause.EXITED, Cause.CHANNEL_CLOSED)
    said = (Cause.SETUP_FAILED, Cause.FATAL)
    assert first.yields_to(later) is (first in seen and later in said)


def test_what_was_logged_last_stands_in_for_last_words_of_who_was_killed() -> None:
    killed = IncarnationEnd(Cause.EXITED, worker=WorkerEnd(None, signal.SIGABRT))
    error = killed.prediction_error("\nCUDA error: out of luck\n")
    assert error == "Worker crashed: killed by SIGABRT. Its last words: CUDA error: out of luck"
    heard = IncarnationEnd(Cause.EXITED, worker=WorkerEnd(None, signal.SIGABRT, "free()\n"))
    assert heard.prediction_error("a log\n").endswith("Its last words: free()")
    left = IncarnationEnd(Cause.EXITED, worker=WorkerEnd(3, None))
    assert left.prediction_error("a log\n") == "Worker crashed: exited with code 3"
