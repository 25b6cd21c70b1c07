"""What of a row's two answers differs, and what the reviewed lists say of it.

`differences.toml` has every difference with both values. Most of them are of one kind: coglet says
an error in plain text, or has no body, and ours says it as JSON. Of those `reasons.toml` has only
the names of the rows, for the words are of no interest. It also has the reasons by the quirk's
number, and the rows that are not compared yet.
"""

from __future__ import annotations

import functools
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from tests import reviewed_differences
from tests.reviewed_differences import Differences

if TYPE_CHECKING:
    from tests.reviewed_differences import Observation, Reviewed
    from tests.worker.corpus_facts import Facts

__all__ = ["LIST", "REASONS", "REASONS_FILE", "Found", "Reasons", "compare", "reviewed"]

LIST: Final = Path(__file__).parent / "differences.toml"
REASONS_FILE: Final = Path(__file__).parent / "reasons.toml"


@frozen
class Found:
    """What differs in a row."""

    differences: Differences
    says_detail: bool
    """Whether coglet has no JSON of an error where ours has `{"detail": …}`."""


@frozen
class Reasons:
    """What `reasons.toml` says."""

    reasons: dict[str, str]
    """Why ours is right, by the quirk."""
    details: list[str]
    """The rows in which `says_detail` is so."""
    pending: dict[str, str]
    """Rows, as shell patterns, that are not compared until something has been built: what."""

    def waits_for(self, name: str) -> str | None:
        """What the row `name` waits for."""
        for pattern, what in self.pending.items():
            if fnmatchcase(name, pattern):
                return what
        return None


def compare(coglet: Observation, ours: Observation) -> Found:
    """What differs."""
    told = [place for place in ours if place in coglet and _is_detail(coglet[place], ours[place])]
    rest = {place: facts for place, facts in ours.items() if place not in told}
    return Found(reviewed_differences.differences(coglet, rest), bool(told))


def _is_detail(coglet: Facts, ours: Facts) -> bool:
    """Whether an error is plain text or nothing at coglet and JSON at ours, and otherwise alike."""
    if coglet["status"] != ours["status"] or not 400 <= int(ours["status"]) < 500:
        return False
    body = ours["body"]
    is_detail = isinstance(body, dict) and body.keys() == {"detail"}
    is_head = not body and not coglet["body"]
    kinds = coglet["type"] in ("", "text/plain; charset=utf-8") and ours["type"] == _JSON
    allowed = _methods(coglet) <= _methods(ours)  # ours has more routes
    return kinds and (is_detail or is_head) and allowed and _others(coglet) == _others(ours)


_JSON: Final = "application/json"


def _others(facts: Facts) -> dict[str, Any]:
    told = ("type", "body", "allow")
    return {name: value for name, value in facts.items() if name not in told}


def _methods(facts: Facts) -> set[str]:
    return set(facts.get("allow", "").split(", "))


@functools.cache
def reviewed() -> dict[str, Reviewed]:
    """`differences.toml`, by row."""
    return reviewed_differences.reviewed(LIST)


def _reasons() -> Reasons:
    return Reasons(**tomllib.loads(REASONS_FILE.read_text("utf-8")))


REASONS: Final = _reasons()
