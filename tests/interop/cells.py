"""The cells of the matrix: whose server, whose worker, and which release of coglet."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from attrs import frozen

from tests.interop.environments import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CELLS", "Cell"]


@frozen
class Cell:
    """One combination. `version` is the release of coglet, or of the `cog` that models import."""

    server: str
    worker: str
    version: str

    def __str__(self) -> str:
        """For example `coglet/ours 0.23.1`: coglet's server with our worker."""
        return f"{self.server}/{self.worker} {self.version}"

    @property
    def is_control(self) -> bool:
        """Whether nothing of ours takes part."""
        return self.server == self.worker == "coglet"

    def matches(self, patterns: Iterable[str]) -> bool:
        """Whether one of the shell patterns is of this cell."""
        return any(fnmatchcase(str(self), pattern) for pattern in patterns)


CELLS = [
    Cell(server, worker, version)
    for version in VERSIONS
    for server, worker in (
        ("coglet", "coglet"),
        ("coglet", "ours"),
        ("ours", "coglet"),
        ("ours", "ours"),
    )
]
"""All of them, the control of each release first."""
