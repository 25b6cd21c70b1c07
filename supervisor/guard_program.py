"""The guard: a tiny process that outlives a killed supervisor just long enough to clean up.

Run as `python -I -S guard_program.py RUN_DIR CAPTURE_INODE MARK`, in a session of its own. Its
stdin is a pipe that only the supervisor holds; the supervisor writes the worker's pid to it, in
decimal and a newline. The end of that pipe means that the supervisor is gone: the guard kills the
worker's process group, then all its descendants elsewhere that can be recognised, and removes the
run folder. In an orderly end the supervisor kills the guard first, before it reaps the worker.

There is no moment at which the supervisor can die and leave a worker behind. Between fork and exec
the child holds a copy of the pipe, so the end of the pipe comes after exec. If the pid had not been
written by then, two other things tell who belongs to the worker: the capture pipe as stderr, and
the mark (`NAME=value`) in the environment.

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
    run_dir, inode, mark = sys.argv[1:]
    worker = wait_for_end()
    if worker is not None:
        kill_group(*worker)
    kill_descendants(int(inode), mark)
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


def kill_descendants(inode: int, mark: str) -> None:
    """Kill every process that is recognised, with its group, until none shows up any more.

    Args:
        inode: the number of the pipe that the worker has as fd 2.
        mark: `NAME=value` in the worker's environment.
    """
    give_up_at = time.monotonic() + _GIVE_UP
    quiet = 0
    while quiet < _ROUNDS_QUIET and time.monotonic() < give_up_at:
        quiet += 1
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            # The guard has the mark itself, as others must see whose guard it is.
            if pid != os.getpid() and (_has_stderr(pid, inode) or _is_marked(pid, mark)):
                quiet = 0
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    # Its group lies within the worker's session, or one that was made inside it.
                    os.killpg(os.getpgid(pid), signal.SIGKILL)
        time.sleep(_ROUND)


def _has_stderr(pid: int, inode: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/2") == f"pipe:[{inode}]"
    except OSError:
        return False


def _is_marked(pid: int, mark: str) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return os.fsencode(mark) in file.read().split(b"\0")
    except OSError:
        return False


if __name__ == "__main__":
    main()
