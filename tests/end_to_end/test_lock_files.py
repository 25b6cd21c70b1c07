"""The lock files: every package with hashes, no place named, each set holding the one before."""

from __future__ import annotations

import itertools
import re
import tomllib

import pytest

from tests.end_to_end.server import ROOT

FOLDER = ROOT / "requirements"
SETS = ("worker", "runtime", "examples", "dev")


def pins(name: str) -> dict[str, str]:
    """The packages of a lock file, each with the rest of its line."""
    text = (FOLDER / f"{name}.txt").read_text("utf-8").replace("\\\n", " ")
    return dict(line.split("==", 1) for line in text.splitlines())


@pytest.mark.parametrize("name", SETS)
def test_every_package_has_hashes_and_no_line_names_a_place(name: str) -> None:
    assert "://" not in (FOLDER / f"{name}.txt").read_text("utf-8")
    for package, rest in pins(name).items():
        assert re.fullmatch(r"[a-z0-9-]+", package)
        assert rest.count("--hash=sha256:") >= 1


@pytest.mark.parametrize(("smaller", "larger"), [*itertools.pairwise(SETS)])
def test_each_set_holds_all_of_the_one_before(smaller: str, larger: str) -> None:
    assert pins(smaller).items() <= pins(larger).items()


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~ ;\[]", text)[0].lower() for text in requirements}

    groups = project["dependency-groups"]
    extras = project["project"]["optional-dependencies"]
    assert names(project["project"]["dependencies"]) <= pins("runtime").keys()
    assert names(project["build-system"]["requires"]) <= pins("runtime").keys()
    assert names(extras["examples"]) <= pins("examples").keys()
    assert names(groups["dev"]) <= pins("dev").keys()
    assert names(groups["worker"]) <= pins("worker").keys()
    # The model's environment gets no more than what it really needs.
    assert pins("worker").keys() == {"attrs", "cattrs", "msgspec", "typing-extensions"}
