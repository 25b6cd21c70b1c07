"""The table, in parts by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.differential.table import answers, bodies, headers, inputs, routes, stages

if TYPE_CHECKING:
    from tests.differential.rows import Row

__all__ = ["ALL_NAMES", "TABLE"]

_ROWS: Final[list[Row]] = [
    row for part in (routes, bodies, headers, inputs, answers, stages) for row in part.ROWS
]

ALL_NAMES: Final = [row.name for row in _ROWS]
"""The name of each row; none may be there twice."""

TABLE: Final[dict[str, Row]] = {row.name: row for row in _ROWS}
"""All rows by name; those of a stage follow each other."""
