"""A short run of `scripts/fuzz_api.py`: schemathesis against the served OpenAPI document."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import trio

from tests.end_to_end.server import ROOT, environment, within

MINUTES = 0.25


@pytest.mark.parametrize("model", ["hello", "stream", "many-inputs"])
async def test_no_request_is_answered_against_the_document(model: str) -> None:
    command = [sys.executable, "scripts/fuzz_api.py", model, "--minutes", str(MINUTES)]
    with within(120):
        result = await trio.run_process(
            command,
            cwd=ROOT,
            env=environment(),
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
    printed = result.stdout.decode("utf-8", "replace")
    assert result.returncode == 0, printed
    # It has reached what it is for.
    assert re.search(r"POST /predictions: .*\b200\b", printed)
    assert "Stateful (in" in printed
