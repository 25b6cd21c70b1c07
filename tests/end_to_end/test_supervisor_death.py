"""SIGKILL of the supervisor takes everything with it, whatever the model is doing."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
import trio

from tests.end_to_end.processes import Watch
from tests.end_to_end.server import serving, within


# None of these ends before the test fails: a worker that finds itself alone ends after a while, but
# not without the GIL, and nothing that has left its session.
@pytest.mark.parametrize(
    "how", ["wait_with_child_and_gil", "wait_uninterruptible", "wait_with_children"]
)
async def test_a_killed_supervisor_leaves_no_process(how: str) -> None:
    async with serving("ending.py:Predictor") as server, trio.open_nursery() as nursery:
        pid = int(await server.output())
        nursery.start_soon(_ask_in_vain, server, how)
        with within(20):
            await server.said(f"waiting in {pid}")
        family = server.family()
        assert pid in family
        watch = Watch(family)
        os.kill(server.pid, signal.SIGKILL)
        with within(10):
            await watch.ended()
        assert server.marked() == set()
        nursery.cancel_scope.cancel()


async def _ask_in_vain(server, how: str) -> None:
    with pytest.raises(httpx.TransportError):
        await server.predict(how=how, seconds=60)


async def test_a_supervisor_killed_during_set_up_leaves_no_process() -> None:
    async with serving("slow_setup.py:Predictor", until_ready=False) as server:
        with within(20):
            await server.said("setting up")
        watch = Watch(server.family())
        os.kill(server.pid, signal.SIGKILL)
        with within(10):
            await watch.ended()
        assert server.marked() == set()
