"""Ill-treat our server, and see whether it is as it was before.

    .venv/bin/python scripts/stress.py [--seconds 60] [--clients 64] [--seed 1]
    .venv/bin/python scripts/stress.py --memory

64 clients ask, cancel, repeat, leave in the middle, send halves, garbage and things very slowly.
No answer may be a 5xx but 503, and no prediction may fail. Afterwards the server has to come back
to where it was after a warm-up of the same kind: open files, threads, files on its disk, the same
processes, and memory. Printed is what was answered, and the numbers before and after; the exit code
is 1 if something is not as it should be.

`--memory` has a body of 100 MB, an output of 100 MB and 1,000 idle connections at once, and prints
how much memory the supervisor had at most.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from stress_clients import Client, Tally, request_bytes  # noqa: E402

from tests.end_to_end.processes import descendants  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

START_LIMIT = 60.0
"""Seconds until the server has to be ready."""
SETTLE_LIMIT = 45.0
"""Seconds in which it has to come back; Trio keeps a thread for 10 that has nothing to do."""
WARM_UP = 0.25
"""The warm-up's share of the time."""
RSS_MARGIN = 1.15
RSS_EXTRA = 16.0
"""Memory may be more by that factor and so many MB: the allocator does not give back all."""
MEMORY_MAX = 600.0
"""MB that the supervisor may have in `--memory`."""
IDLE = 1000
BIG = 100_000_000

_COMMAND = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    "from supervisor.__main__ import main; sys.exit(main())"
)
_MODEL = ROOT / "tests" / "models" / "end_to_end" / "stressed.py"


class Server:
    """The server under test.

    Attributes:
        port: where it listens.
    """

    def __init__(self, process: trio.Process, folder: Path) -> None:
        self.port = 0
        self._process = process
        self._folder = folder

    async def read_log(self, task_status: trio.TaskStatus[None]) -> None:
        """Read its log to the end; started when it is ready."""
        assert self._process.stderr is not None
        rest, is_ready = b"", False
        async for chunk in self._process.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if b"ERROR" in line or b"CRITICAL" in line or not line.startswith(b"{"):
                    print("  the server says:", line.decode("utf-8", "replace")[:500])
                found = re.search(rb"Listening on http://[^ ]+:(\d+)", line)
                self.port = int(found[1]) if found else self.port
                if b'"Worker ready"' in line and not is_ready:
                    is_ready = True
                    task_status.started()

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    def worker_pid(self) -> int:
        """The worker's: the one below it that is not the guard."""
        for status in descendants(self.pid):
            command = Path(f"/proc/{status.pid}/cmdline").read_bytes()
            if b"launch.py" in command:
                return status.pid
        raise RuntimeError("there is no worker")

    def numbers(self) -> dict[str, float]:
        """What must not grow, by name; memory is in MB."""
        worker = self.worker_pid()
        return {
            "supervisor's open files": len(os.listdir(f"/proc/{self.pid}/fd")),
            "supervisor's threads": len(os.listdir(f"/proc/{self.pid}/task")),
            "worker's open files": len(os.listdir(f"/proc/{worker}/fd")),
            "worker's threads": len(os.listdir(f"/proc/{worker}/task")),
            "processes": len(descendants(self.pid)),
            "files on disk": sum(len(files) for _, _, files in os.walk(self._folder)),
            "supervisor's memory": memory(self.pid, "VmRSS"),
            "worker's memory": memory(worker, "VmRSS"),
        }

    async def wait_idle(self) -> None:
        """Wait until no prediction runs."""
        async with httpx.AsyncClient(trust_env=False) as client:
            with trio.fail_after(SETTLE_LIMIT):
                while True:
                    response = await client.get(f"http://127.0.0.1:{self.port}/health-check")
                    if response.json()["status"] == "READY" and not await self._runs(client):
                        return
                    await trio.sleep(0.1)

    async def _runs(self, client: httpx.AsyncClient) -> bool:
        """Whether a slot is taken: READY only says that one is free."""
        response = await client.get(f"http://127.0.0.1:{self.port}/predictions")
        if response.status_code != 200:  # an older server has no list
            return False
        views = response.json()["results"]
        return any(view["status"] in ("starting", "processing") for view in views)


def memory(pid: int, field: str) -> float:
    """`VmRSS` or `VmHWM` of a process, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.M)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def forget_peak(pid: int) -> None:
    """Let `VmHWM` begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


@contextlib.asynccontextmanager
async def serving(*options: str) -> AsyncIterator[Server]:
    """A server of this checkout, ended at the end."""
    with tempfile.TemporaryDirectory(prefix="stress-") as name:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("COG_", "COGLET_"))}
        process = await trio.lowlevel.open_process(
            [sys.executable, "-P", "-c", _COMMAND, "serve", _MODEL.name, "--port", "0", *options],
            cwd=_MODEL.parent,
            env=environ | {"TMPDIR": name},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            async with trio.open_nursery() as nursery:
                server = Server(process, Path(name))
                with trio.fail_after(START_LIMIT):
                    await nursery.start(server.read_log)
                yield server
                process.terminate()
        finally:
            with trio.CancelScope(shield=True):
                process.terminate()
                with trio.move_on_after(START_LIMIT):
                    await process.wait()
                process.kill()
                await process.wait()


async def ill_treat(server: Server, clients: int, seconds: float, seed: str) -> Tally:
    """Let the clients loose for so long, and wait until they are gone."""
    tally = Tally()
    deadline = trio.current_time() + seconds
    async with trio.open_nursery() as nursery:
        for number in range(clients):
            own = random.Random(f"{seed}-{number}")
            client = Client(server.port, number, own, tally)
            nursery.start_soon(client.run, deadline)
    return tally


async def stress(clients: int, seconds: float, seed: int) -> int:
    """The whole of it; the exit code."""
    options = ["--max-concurrency", "8", "--queue", "8", "--keep-count", "20"]
    async with serving(*options) as server:
        worker = server.worker_pid()
        await ill_treat(server, clients, seconds * WARM_UP, f"{seed}-warm-up")
        await server.wait_idle()
        before = await least(server)
        tally = await ill_treat(server, clients, seconds, str(seed))
        await server.wait_idle()
        is_same_worker = server.worker_pid() == worker
        after = await come_back(server, before)
    show(tally)
    grown = [name for name in before if is_more(name, before[name], after[name])]
    print(f"{'':26}{'before':>10}{'after':>10}")
    for name in before:
        mark = "  GROWN" if name in grown else ""
        print(f"{name:26}{before[name]:10,.0f}{after[name]:10,.0f}{mark}")
    if not is_same_worker:
        tally.complain("the worker is another one")
    for what in tally.wrong:
        print(f"wrong: {what}")
    return int(bool(grown or tally.wrong))


async def least(server: Server) -> dict[str, float]:
    """The numbers when they have stopped to fall: what closes closes within a moment."""
    numbers = server.numbers()
    while True:
        await trio.sleep(1)
        now = server.numbers()
        if not any(now[name] < numbers[name] for name in numbers if "memory" not in name):
            return now
        numbers = now


async def come_back(server: Server, before: dict[str, float]) -> dict[str, float]:
    """The numbers as soon as none is more than `before`, or when there is no more time."""
    deadline = trio.current_time() + SETTLE_LIMIT
    while True:
        now = server.numbers()
        is_back = not any(is_more(name, before[name], now[name]) for name in before)
        if is_back or trio.current_time() > deadline:
            return now
        await trio.sleep(0.2)


def is_more(name: str, before: float, after: float) -> bool:
    """Whether a number has grown; memory by more than the allocator's doings."""
    return after > (before * RSS_MARGIN + RSS_EXTRA if "memory" in name else before)


def show(tally: Tally) -> None:
    """Print what was done, how often, and how often what came back."""
    for act in sorted(tally.acts):
        found = sorted((s, n) for (a, s), n in tally.statuses.items() if a == act)
        answers = "  ".join(f"{status or 'closed'}: {n:,}" for status, n in found)
        print(f"{act:22}{tally.acts[act]:7,}   {answers}")
    print(f"{sum(tally.acts.values()):,} acts, {sum(tally.statuses.values()):,} answers")


# --- memory -----------------------------------------------------------------------------------


async def fill_memory() -> int:
    """A big body, a big output and many connections at once; the exit code."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options = ["--max-concurrency", "2", "--max-connections", str(IDLE + 10)]
    options += ["--idle-timeout", "1h"]  # however long the big things take
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(*options))
        start = memory(server.pid, "VmRSS")
        for _ in range(IDLE):
            stream = await trio.open_tcp_stream("127.0.0.1", server.port)
            await stack.enter_async_context(stream)
            await stream.send_all(request_bytes("GET", "/health-check"))
            await stream.receive_some()  # what comes next is up to the idle timeout
        print(f"supervisor at the start           {start:6,.0f} MB")
        print(f"with {IDLE:,} idle connections      {memory(server.pid, 'VmRSS'):6,.0f} MB")
        forget_peak(server.pid)
        answers: dict[str, bool] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(big_body, server.port, answers)
            nursery.start_soon(big_output, server.port, answers)
        peak = memory(server.pid, "VmHWM")
        still_open = server.numbers()["supervisor's open files"]
        print(f"at most, with {BIG:,} in and out {peak:6,.0f} MB (limit {MEMORY_MAX:,.0f})")
        print(f"afterwards                        {memory(server.pid, 'VmRSS'):6,.0f} MB")
    for name, is_right in answers.items():
        if not is_right:
            print(f"wrong: {name}: not the answer that it should be")
    if still_open < IDLE:
        print(f"wrong: of the idle connections no more than {still_open:,.0f} are left")
    return int(peak > MEMORY_MAX or still_open < IDLE or not all(answers.values()))


async def big_body(port: int, answers: dict[str, bool]) -> None:
    """An input of `BIG` characters; the answer says how many."""
    body = await ask(port, {"text": "x" * BIG})
    answers["big body"] = f'["0 of {BIG}"]'.encode() in body


async def big_output(port: int, answers: dict[str, bool]) -> None:
    """An output of `BIG` characters."""
    body = await ask(port, {"size": BIG})
    answers["big output"] = body.count(b"y") == BIG


async def ask(port: int, inputs: dict[str, object]) -> bytes:
    """A prediction; the body of its answer."""
    headers = ("connection: close",)
    request = await trio.to_thread.run_sync(
        lambda: request_bytes("POST", "/predictions", {"input": inputs}, *headers)
    )
    data = bytearray()
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(request)
        async for chunk in stream:
            data += chunk
    return bytes(data.partition(b"\r\n\r\n")[2])


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long they do it")
    parser.add_argument("--clients", type=int, default=64, help="at the same time")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument("--memory", action="store_true", help="big things instead of bad ones")
    options = parser.parse_args()
    if options.memory:
        return trio.run(fill_memory)
    return trio.run(stress, options.clients, options.seconds, options.seed)


if __name__ == "__main__":
    sys.exit(main())
