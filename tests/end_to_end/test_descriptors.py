"""More slots than the soft limit of open descriptors allows, and more than the hard one does."""

from __future__ import annotations

import resource
import subprocess

import pytest

from tests.end_to_end.server import COMMAND, MODELS, environment, serving


def limited(limit: str) -> tuple[str, ...]:
    """The command, started by a shell that has set a limit."""
    return "sh", "-c", f'ulimit {limit}; exec "$@"', "sh", *COMMAND


@pytest.mark.parametrize(("slots", "of_worker"), [(2, 200), (150, 428)])
async def test_slots_beyond_the_soft_limit(slots: int, of_worker: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    options = "--max-concurrency", str(slots)
    async with serving("limits.py:Predictor", *options, command=limited("-Sn 200")) as server:
        assert await server.output() == [of_worker, hard]
        assert resource.prlimit(server.pid, resource.RLIMIT_NOFILE) == (hard, hard)


def test_slots_beyond_the_hard_limit() -> None:
    ended = subprocess.run(
        [*limited("-n 200"), "serve", "limits.py:Predictor", "--max-concurrency", "37"],
        cwd=MODELS,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "coglet-trio: error: 37 slots need 202 open descriptors, but the limit is 200: raise it "
        "(ulimit -n 202), or use at most 36 (--max-concurrency) (see coglet-trio serve --help)\n"
    )
