"""What holds for all tests of the supervisor."""

from __future__ import annotations

import pytest

from tests.supervisor.process_table import PATIENCE


@pytest.fixture(autouse=True)
def patience_with_guards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed guard is waited for: what a busy machine leaves to others looks like a leak."""
    monkeypatch.setattr("supervisor.guard._REAP_WITHIN", PATIENCE)
