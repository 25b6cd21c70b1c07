"""`scripts/stress.py`, for a short while."""

from __future__ import annotations

import subprocess
import sys

import trio

from tests.end_to_end.server import ROOT, within


async def stressed(*options: str) -> str:
    """What the program prints; it has to be content."""
    command = [sys.executable, "-P", str(ROOT / "scripts" / "stress.py"), *options]
    with within(200):
        done = await trio.run_process(
            command, capture_stdout=True, stderr=subprocess.STDOUT, check=False
        )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed
    return printed


async def test_after_an_ill_treatment_the_server_is_as_it_was() -> None:
    printed = await stressed("--seconds", "5", "--clients", "64", "--seed", "12")
    assert "supervisor's open files" in printed


async def test_100_mb_in_and_out_and_1000_idle_connections_fit_into_600_mb() -> None:
    printed = await stressed("--memory")
    assert "with 1,000 idle connections" in printed
