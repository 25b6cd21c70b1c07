"""Every model of the corpus on our worker, and on coglet's, in the same interpreter."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.environments import VERSIONS
from tests.interop.expectations import mismatches
from tests.reviewed_differences import Reviewed
from tests.worker.corpus import CORPUS
from tests.worker.corpus_differences import differences, reviewed
from tests.worker.corpus_observation import observe

if TYPE_CHECKING:
    from tests.worker.corpus_observation import Observation

COMPARED = [name for name, model in CORPUS.items() if not model.not_on_coglet]


@functools.cache
def observations(name: str) -> dict[str, Observation]:
    """What is seen of a model on both workers, which run at the same time."""
    workers = ["ours"] if CORPUS[name].not_on_coglet else ["ours", "coglet"]
    with ThreadPoolExecutor() as pool:
        running = {worker: pool.submit(observe, CORPUS[name], worker) for worker in workers}
        return {worker: future.result() for worker, future in running.items()}


def expected_of(name: str) -> dict[str, dict[str, Any]]:
    """What `corpus.toml` expects, by place."""
    model = CORPUS[name]
    expected: dict[str, dict[str, Any]] = {"setup": {"status": "ready"} | model.setup}
    if expected["setup"]["status"] == "ready":
        for number, step in enumerate(model.steps, 1):
            default = {"status": "healthy" if step.do == "healthcheck" else "succeeded"}
            if step.do == "together":
                for slot, each in enumerate(step.expect):
                    expected[f"{number}/{slot}"] = default | each
            else:
                expected[str(number)] = default | step.expect
    return expected | {"exit": {"code": 0} | model.exit}


@pytest.mark.parametrize("name", CORPUS)
def test_ours_is_as_expected(name: str) -> None:
    assert mismatches(expected_of(name), observations(name)["ours"], name) == []


@pytest.mark.parametrize("name", COMPARED)
def test_coglet_differs_only_as_is_listed(name: str) -> None:
    """`scripts/compare_corpus.py` prints what is found as the list has it."""
    seen = observations(name)
    found = differences(seen["coglet"], seen["ours"])
    listed = reviewed().get(name, Reviewed())
    assert listed.unlisted(found) == {}
    assert listed.gone(found) == []


def test_the_list_says_why() -> None:
    for name, entry in reviewed().items():
        assert name in COMPARED
        assert entry.why, name
        assert entry.quirk, name
        assert entry.differences or entry.sometimes, name


def test_every_model_is_asked() -> None:
    folder = next(iter(CORPUS.values())).path.parent
    assert sorted(CORPUS) == sorted(path.stem for path in folder.glob("*.py"))
    assert len(CORPUS) >= 60
    assert all(model.shows for model in CORPUS.values())


def test_every_section_is_covered() -> None:
    covered = {section for model in CORPUS.values() for section in model.sections}
    assert covered >= {*range(2, 14), 17}


def test_it_is_compared_with_the_newest_coglet() -> None:
    assert metadata.version("coglet") == VERSIONS[0]
