"""Where our worker and coglet's differ on the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests import reviewed_differences

if TYPE_CHECKING:
    from tests.reviewed_differences import Differences, Reviewed
    from tests.worker.corpus_observation import Observation

__all__ = ["LIST", "differences", "reviewed"]

LIST = Path(__file__).parent / "corpus_differences.toml"
"""The reviewed list."""

_NOT_COMPARED = ("schema", "traceback")
"""Facts that coglet never has, which is no difference of any one model."""


def differences(coglet: Observation, ours: Observation) -> Differences:
    """Where two observations of a model differ."""
    return reviewed_differences.differences(coglet, ours, not_compared=_NOT_COMPARED)


def reviewed() -> dict[str, Reviewed]:
    """The list, by model."""
    return reviewed_differences.reviewed(LIST)
