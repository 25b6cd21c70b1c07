"""What the tests have measured, at the end of the run; programs that they need."""

from __future__ import annotations

import os
import shutil

import pytest

MEASURED = "measured"
"""The name of the property in which a test says what it has measured."""


def installed(program: str) -> str:
    """Where a program of Debian's is; without it the test is skipped, in CI it fails."""
    found = shutil.which(program)
    if found is None:
        # In CI a skipped test would look like one that passes.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs Debian's {program}")
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == MEASURED
    ]
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)
