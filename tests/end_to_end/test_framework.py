"""A model with a real framework, in an environment of its own: PyTorch, as Debian packages it.

`apt install python3-torch` is what these need, and CI does it (`.ci/run`). Elsewhere they are
skipped without it.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.end_to_end.conftest import MEASURED
from tests.end_to_end.interpreters import bare_environment, install_what_the_worker_needs
from tests.end_to_end.processes import descendants
from tests.end_to_end.server import PATIENT, serving, within

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.end_to_end.server import Server

pytestmark = pytest.mark.torch

DEBIANS_PYTHON = "/usr/bin/python3"
REMEMBERED = 100
"""Finished predictions that the supervisor keeps."""
WARM_UP = 1000
"""Predictions until caches and allocators have what they want. The supervisor grew by 11 MiB in the
first 700 and then not at all in 5,000; with an eager garbage collector, by 3 (measured)."""
PREDICTIONS = 1000
GROWTH_MAX = 8.0
"""MiB that a process may have grown by all of them. A copy of each one's tensors were 100 MiB."""


@pytest.fixture(scope="module")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the worker needs, on top of Debian's PyTorch."""
    found = (
        Path(DEBIANS_PYTHON).exists()
        and not subprocess.run(
            [DEBIANS_PYTHON, "-I", "-c", "import torch"], capture_output=True, check=False
        ).returncode
    )
    if not found:
        # In CI a skipped test would look like one that passes.
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Debian's python3-torch")
    folder = tmp_path_factory.mktemp("torch") / "venv"
    python = bare_environment(folder, base=DEBIANS_PYTHON, sees_base=True)
    install_what_the_worker_needs(python)
    return python


async def test_it_predicts(torch_python: Path) -> None:
    async with serving("network.py:Predictor", "--python", str(torch_python)) as server:
        with within(20):
            output = await server.output(values=[0.5, -0.5])
            assert await server.output(values=[0.5, -0.5]) == output
    assert len(output) == 64
    assert all(type(number) is float for number in output)


async def test_it_is_cancelled_in_the_middle_of_the_inference(torch_python: Path) -> None:
    # Patient: the worker is not ended, and replaced, for being slow.
    command = ("network.py:Predictor", "--python", str(torch_python), *PATIENT)
    async with serving(*command) as server:
        answers: list[dict[str, Any]] = []

        async def ask() -> None:
            answers.append(await server.predict(id="long", values=[0.5], blocks=10**9))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with within(20):
                await server.said("forward through 1000000000 blocks")
                assert await server.cancel("long") == 200
        assert answers[0]["status"] == "canceled"
        with within(20):
            assert len(await server.output(values=[0.5])) == 64
        # It is the same worker: nothing had to be escalated.
        workers = [line for line in server.lines if line["fields"]["message"] == "Worker ready"]
        assert len(workers) == 1


async def test_a_thousand_predictions_leak_nothing(
    torch_python: Path, record_property: Callable[[str, object], None]
) -> None:
    remembered = ("--keep-count", str(REMEMBERED))
    async with serving(
        "network.py:Predictor", "--python", str(torch_python), *remembered
    ) as server:
        with within(120):
            await _predict(server, WARM_UP)
            before = _memory(server)
            await _predict(server, PREDICTIONS)
            after = _memory(server)
    for name in before:
        record_property(MEASURED, f"{name}: {before[name]:.1f} MiB, then {after[name]:.1f} MiB")
    for name in before:
        assert after[name] - before[name] < GROWTH_MAX, name


async def _predict(server: Server, times: int) -> None:
    for number in range(times):
        await server.output(values=[number / times])


def _memory(server: Server) -> dict[str, float]:
    """MiB of memory that the supervisor and its worker (the largest process below it) hold."""
    below = [_resident(status.pid) for status in descendants(server.pid)]
    return {"supervisor": _resident(server.pid), "worker": max(below)}


def _resident(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2
