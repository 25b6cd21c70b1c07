"""A supervisor that is made to be killed: run as a script, with the names of a worker and a death.

It opens the worker, passes on what that prints, and waits; or it kills itself at a moment that a
test could not meet from outside.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial

import structlog
import trio

from supervisor.config import Config
from supervisor.guard import Guard
from supervisor.process import open_worker
from supervisor.reaper import become_subreaper

WORKERS = {
    "sleeping": """
import os, signal, subprocess, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
print(os.getpid(), child.pid, flush=True)
time.sleep(1000)
""",
    # C code that does not let go of the GIL: no other thread of the worker ever runs again.
    "holding the GIL": """
import ctypes, os, subprocess
child = subprocess.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
print(os.getpid(), child.pid, flush=True)
ctypes.PyDLL(None).sleep(1000)
""",
    "with a child elsewhere": """
import os, subprocess, time
away = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(os.getpid(), away.pid, flush=True)
time.sleep(1000)
""",
    # In sessions of their own, without an environment, their stderr elsewhere.
    "with a tree elsewhere": """
import os, subprocess, sys, time
code = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.argv[1], '1000'], executable='sleep',"
    "                         start_new_session=True, env={});"
    "print(child.pid, flush=True);"
    "time.sleep(1000)"
)
tree = subprocess.Popen(
    [sys.executable, "-ISc", code, "TAG=" + os.environ["TAG"]],
    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, env={},
)
print(os.getpid(), tree.pid, tree.stdout.readline().decode(), flush=True)
time.sleep(1000)
""",
    "starting more and more": """
import os, subprocess, time
print(os.getpid(), os.getpid(), flush=True)
children = []
for _ in range(300):
    children.append(subprocess.Popen(
        ["TAG=" + os.environ["TAG"], "1000"], executable="sleep",
        stderr=subprocess.DEVNULL, start_new_session=True, env={},
    ))
time.sleep(1000)
""",
    "dead, its child left": """
import os, subprocess
child = subprocess.Popen(["sleep", "1000"], stderr=subprocess.DEVNULL)
print(os.getpid(), child.pid, flush=True)
""",
}


def die() -> None:
    """As if somebody had used `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_guard_is_told(*, worker_first: bool) -> None:
    """The worker runs or has run already, and nobody has told the guard which process it is."""

    def watch(_guard: Guard, worker_pid: int) -> None:
        if worker_first:
            os.waitid(os.P_PID, worker_pid, os.WEXITED | os.WNOWAIT)
        die()

    Guard.watch = watch  # type: ignore[method-assign]


def die_between_fork_and_exec() -> None:
    """The worker's process outlives us before it has become the worker."""

    def in_child() -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.3)

    spawn = trio.lowlevel.open_process

    async def open_process(command: list[str], **options: object) -> trio.Process:
        if "guard_program" not in str(command):
            options["preexec_fn"] = in_child
        return await spawn(command, **options)

    trio.lowlevel.open_process = open_process


def die_before_burial() -> None:
    """The worker is dead and not yet reaped, its child runs."""
    os.killpg = lambda *_: die()


SUICIDES = {
    "untold": partial(die_before_the_guard_is_told, worker_first=False),
    "untold, the worker first": partial(die_before_the_guard_is_told, worker_first=True),
    "unborn": die_between_fork_and_exec,
    "unburied": die_before_burial,
}


async def main(worker: str, suicide: str) -> None:
    """Open the worker and wait to be killed."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    become_subreaper()
    SUICIDES.get(suicide, lambda: None)()
    command = (sys.executable, "-I", "-S", "-c", WORKERS[worker])
    async with open_worker(Config("predict.py", worker_command=command)) as link:
        pids = await link.control.receive_some()
        os.write(1, pids)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(partial(main, *sys.argv[1:]))
