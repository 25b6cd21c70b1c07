"""The worker's options: from our supervisor's `init`, or from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from supervisor.config import WorkerOptions
from tests.worker.driver import worker
from worker.options import BadOption, Options, options_from

if TYPE_CHECKING:
    from pathlib import Path


def test_the_supervisor_has_the_same_options_with_the_same_defaults() -> None:
    known = {each.name: each.default for each in attrs.fields(Options)}
    assert known == attrs.asdict(WorkerOptions()) | {"cancel_grace": 5.0}


@pytest.mark.parametrize(
    ("sent", "changed"),
    [
        ({}, {}),
        ({"of_a_newer_supervisor": 1}, {}),
        ({"cancel_grace": None}, {}),
        ({"cancel_grace": 2, "event_loop": "trio"}, {"cancel_grace": 2, "event_loop": "trio"}),
    ],
)
def test_what_the_supervisor_sends(sent: dict[str, Any], changed: dict[str, Any]) -> None:
    # Under our supervisor the environment does not count: it has read it already.
    assert options_from(sent, {"COGLET_CANCEL_GRACE": "9"}) == Options(**changed)


@pytest.mark.parametrize("sent", [{"cancel_grace": "2"}, {"allow_local_files": 1}])
def test_a_value_of_another_type_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(BadOption, match=rf"^init\.options\.{next(iter(sent))}: "):
        options_from(sent, {})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("event_loop", "gevent", "'gevent' is none of asyncio, uvloop, trio"),
        ("concurrency", "AUTO", "'AUTO' is none of auto, threads"),
        ("download_max", -1, "-1 is negative or not finite"),
        ("cancel_grace", float("inf"), "inf is negative or not finite"),
        ("cancel_grace", 10**400, "10+ is negative or not finite"),
        ("download_timeout", float("nan"), "nan is negative or not finite"),
        ("block_warning", -0.5, "-0.5 is negative or not finite"),
        ("download_max", True, "True is not of type int"),
        ("cancel_grace", False, "False is not of type float"),
    ],
)
def test_a_value_that_cannot_be_is_refused(name: str, value: object, complaint: str) -> None:
    with pytest.raises(BadOption, match=rf"^init\.options\.{name}: {complaint}$"):
        options_from({name: value}, {})


def test_the_environment_under_a_foreign_parent() -> None:
    environ = {
        "COGLET_CANCEL_GRACE": "500ms",
        "COGLET_DOWNLOAD_MAX": "2 MiB",
        "COGLET_ALLOW_LOCAL_FILES": "yes",
        "COGLET_EVENT_LOOP": "uvloop",
        "COGLET_BLOCK_WARNING": "",
    }
    assert options_from(None, environ) == Options(
        cancel_grace=0.5, download_max=2 * 1024**2, allow_local_files=True, event_loop="uvloop"
    )


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("CANCEL_GRACE", "soon", "'soon' is not a time"),
        ("EVENT_LOOP", "gevent", "'gevent' is none of asyncio, uvloop, trio"),
        ("DENY_PRIVATE_URLS", "maybe", "'maybe' is neither true nor false"),
    ],
)
def test_a_bad_variable_is_named(name: str, text: str, complaint: str) -> None:
    with pytest.raises(BadOption, match=f"^COGLET_{name}: {complaint}"):
        options_from(None, {f"COGLET_{name}": text})


def test_a_bad_option_fails_set_up(tmp_path: Path) -> None:
    model = "class Predictor:\n    def predict(self): pass"
    with worker(tmp_path, model, options={"event_loop": 3}) as driver:
        assert "init.options.event_loop: 3 is not of type str" in driver.setup_failure()
