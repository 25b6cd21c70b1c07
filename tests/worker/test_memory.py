"""How much memory a worker needs at its peak: real workers, as the kernel counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.messages import Done
from tests.worker.driver import worker

MIB = 2**20
BIG = 64 * MIB


def peak(pid: int) -> int:
    """The most bytes that the process has had in memory so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(("character", "count"), [("x", BIG), ("é", BIG // 2)])
def test_a_big_text_needs_few_copies(tmp_path: Path, character: str, count: int) -> None:
    """64 MiB of UTF-8 as output: less than four times as much in all."""
    model = f"""
    class Predictor:
        def predict(self, big: bool):
            return {character!r} * {count} if big else ""
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict("small", big=False)
        before = peak(driver.process.pid)
        result = driver.predict("big", big=True)
        assert isinstance(result.end, Done), result.end
        assert peak(driver.process.pid) - before < 4 * BIG


def test_a_flood_of_lines_and_of_pieces_needs_next_to_nothing(tmp_path: Path) -> None:
    model = """
    import sys
    class Predictor:
        def predict(self, times: int):
            for _ in range(times):
                print("x" * 100, "y" * 100)
                print("z" * 100, end="")
                sys.stderr.write("\\r" + "-" * 100)
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        driver.predict("short", times=1000)
        before = peak(driver.process.pid)
        result = driver.predict("long", times=100_000)
        assert isinstance(result.end, Done), result.end
        assert peak(driver.process.pid) - before < 8 * MIB
