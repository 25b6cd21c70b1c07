"""One server a cell and model, and the matrix at the end of the run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.interop.cells import CELLS, Cell
from tests.interop.expectations import EXPECTATIONS, Expectation
from tests.interop.servers import Serving

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[Cell, str, int]
"""A cell, a model, and the number of slots."""

VERDICT = "interop verdict"
"""The name of the property in which a test says what goes into the matrix."""


class _Latest:
    """The server that was asked last; another place ends it and starts its own."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._place: Place | None = None
        self._serving: Serving

    def at(self, place: Place) -> Serving:
        if place != self._place:
            self.close()
            self._serving = self._stack.enter_context(Serving(*place))
            self._place = place
        return self._serving

    def close(self) -> None:
        self._place = None
        self._stack.close()


@pytest.fixture(scope="module")
def latest() -> Iterator[_Latest]:
    """Holds the running server."""
    latest = _Latest()
    yield latest
    latest.close()


@pytest.fixture
def serving(latest: _Latest, place: Place) -> Serving:
    """A running server; the tests of one cell and model follow each other and share it."""
    return latest.at(place)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test an expectation and cell in which it means something."""
    if "place" not in metafunc.fixturenames:
        return
    wanted: list[tuple[Place, Expectation]] = [
        ((cell, expectation.model, expectation.slots), expectation)
        for cell in CELLS
        for expectation in EXPECTATIONS
        if cell.matches(expectation.cells)
    ]
    metafunc.parametrize(
        ("place", "expectation"),
        wanted,
        ids=[f"{place[0]}-{expectation.name}".replace(" ", "_") for place, expectation in wanted],
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix of what was run."""
    found: dict[str, dict[str, str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "call" and not getattr(report, "failed", False):
                continue
            for name, value in getattr(report, "user_properties", ()):
                if name == VERDICT:
                    cell, expectation, verdict = value
                    found.setdefault(expectation, {})[cell] = verdict
    if not found:
        return
    terminalreporter.section("interop: server/worker, with coglet's release")
    write = terminalreporter.write_line
    order = [e.name for e in EXPECTATIONS if e.name in found]
    width = max(len(name) for name in order)
    kinds = [f"{cell.server}/{cell.worker}" for cell in CELLS]
    releases = [cell.version for cell in CELLS]
    write(" " * width + "".join(f" {release:>13}" for release in releases))
    write(" " * width + "".join(f" {kind:>13}" for kind in kinds))
    for name in order:
        verdicts = [found[name].get(str(cell), "·") for cell in CELLS]
        write(f"{name:<{width}}" + "".join(f" {verdict:>13}" for verdict in verdicts))
    write(
        "ok: holds; ·: not asked; FAIL: must hold and does not; (fails): the control; else a quirk"
    )
