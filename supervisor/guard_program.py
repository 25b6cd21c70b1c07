"""The guard: a tiny process that outlives a killed supervisor just long enough to clean up.

Run as `python -I -S guard_program.py RUN_DIR CAPTURE_INODE`, in a session of its own. Its stdin is
a pipe that only the supervisor holds; the supervisor writes the worker's pid to it, in decimal and
a newline. The end of that pipe means that the supervisor is gone: the guard kills the worker's
process group, then whatever else still has the worker's capture pipe as its stderr, and removes
the run folder. In an orderly end the supervisor kills the guard first, before it reaps the worker.

There is no moment at which the supervisor can die and leave a worker behind. Between fork and exec
the child holds a copy of the pipe, so the end of the pipe comes after exec. If the pid had not
been written by then, the capture pipe tells which process it is.

Nor is a stranger killed whose process or group got a number that was the worker's: the guard looks
at the worker through a pidfd, and the supervisor never reaps the worker while the guard lives.

Only the standard library, and little of it: the memory is taken for as long as a worker lives.
"""

import contextlib
import os
import signal
import sys
import time

_ROUNDS_QUIET = 3
_ROUND = 0.02
"""Seconds between two looks at the process table; it is over after three looks without a find."""
_GIVE_UP = 5.0
"""Seconds after which a process that cannot be killed is left alone."""


def main() -> None:
    """Wait for the end of stdin, then leave nothing of the worker."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Sent to all of a control group at its end: the guard leaves after the supervisor.
        signal.signal(number, signal.SIG_IGN)
    run_dir, inode = sys.argv[1], int(sys.argv[2])
    worker = wait_for_end()
    if worker is not None:
        kill_group(*worker)
    kill_holders(inode)
    import shutil  # Loaded only now: most guards never need it.

    shutil.rmtree(run_dir, ignore_errors=True)


def wait_for_end() -> tuple[int, int] | None:
    """Read stdin to its end; return the worker's pid and a pidfd of it, if the pid was told."""
    worker = None
    while told := os.read(0, 64):
        pid = int(told)
        with contextlib.suppress(ProcessLookupError):
            worker = pid, os.pidfd_open(pid)
    return worker


def kill_group(pid: int, pidfd: int) -> None:
    """Kill the process group that the worker `pid` leads or led."""
    try:
        # Signal 0: is the number still the worker's, alive or not yet reaped?
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        # It has been reaped. A group that still has members keeps its number from being used
        # again, so a process of that number means that the group is gone as well.
        if os.path.exists(f"/proc/{pid}"):
            return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_holders(inode: int) -> None:
    """Kill every process whose fd 2 is the pipe `inode`, with its group, until none shows up."""
    give_up_at = time.monotonic() + _GIVE_UP
    quiet = 0
    while quiet < _ROUNDS_QUIET and time.monotonic() < give_up_at:
        quiet += 1
        for name in os.listdir("/proc"):
            if name.isdigit() and _has_stderr(name, inode):
                quiet = 0
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    # Only the worker and what it has started have this pipe there, and a group
                    # does not reach beyond the worker's session or one that was made inside it.
                    os.killpg(os.getpgid(int(name)), signal.SIGKILL)
        time.sleep(_ROUND)


def _has_stderr(pid: str, inode: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/2") == f"pipe:[{inode}]"
    except OSError:
        return False


if __name__ == "__main__":
    main()
