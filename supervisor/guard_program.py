"""The guard: a tiny process that outlives a killed supervisor just long enough to clean up.

Run as `python -I -S guard_program.py RUN_DIR CAPTURE_INODE MARK`, in a session of its own. Its
stdin is a pipe that only the supervisor holds; the supervisor writes the worker's pid to it, in
decimal and a newline. The end of that pipe means that the supervisor is gone: the guard stops the
worker's process group and all of its descendants, so that none can start or leave another one while
it looks for more; then it kills them all and removes the run folder. In an orderly end the
supervisor kills the guard first, before it reaps the worker.

There is no moment at which the supervisor can die and leave a worker behind. Between fork and exec
the child holds a copy of the pipe, so the end of the pipe comes after exec. If the pid had not been
written by then, two other things tell who belongs to the worker: the capture pipe as stderr, and
the mark (`NAME=value`) in the environment.

One kind of descendant lives on, as nothing tells whose it is: a process that has made a session of
its own, has emptied its environment, has its stderr elsewhere, and whose parent has died before.

Nor is a stranger killed whose process or group got a number that was the worker's: the guard looks
at the worker through a pidfd, and the supervisor never reaps the worker while the guard lives. Its
descendants are told from strangers by their start times.

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
_LOOKS_MAX = 250
"""Looks after which a process that cannot be killed is left alone. It is no time: this process may
be held up for long, on a machine without memory, and must look around all the same."""


def main() -> None:
    """Wait for the end of stdin, then leave nothing of the worker."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # Sent to all of a control group at its end: the guard leaves after the supervisor.
        signal.signal(number, signal.SIG_IGN)
    run_dir, inode, mark = sys.argv[1:]
    worker = wait_for_end()
    try:
        if worker is not None:
            signal_group(*worker, signal.SIGSTOP)
        kill_descendants(worker, int(inode), mark)
    finally:
        # Whatever has failed, the worker does not stay stopped. This needs no descriptor.
        if worker is not None:
            signal_group(*worker, signal.SIGKILL)
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


def signal_group(pid: int, pidfd: int, number: signal.Signals) -> None:
    """Send a signal to the process group that the worker `pid` leads or led."""
    if _is_own_number(pid, pidfd):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _is_own_number(pid: int, pidfd: int) -> bool:
    """Whether the number is still the worker's: as a process, a group or a session."""
    try:
        # Signal 0: is it alive or not yet reaped?
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        # It has been reaped. A group or session that still has members keeps its number from being
        # used again, so a process of that number means that both are gone as well.
        return not os.path.exists(f"/proc/{pid}")
    return True


def kill_descendants(worker: tuple[int, int] | None, inode: int, mark: str) -> None:
    """Kill every process that is the worker's, until none shows up any more.

    Args:
        worker: its pid and a pidfd of it, if it is known.
        inode: the number of the pipe that the worker has as fd 2.
        mark: `NAME=value` in the worker's environment.
    """
    looks = 0
    killed = True
    while killed and looks < _LOOKS_MAX:
        members: dict[int, bytes] = {}
        try:
            quiet = 0
            while quiet < _ROUNDS_QUIET and looks < _LOOKS_MAX:
                looks += 1
                quiet += 1
                for pid, started in find_members(worker, inode, mark, members):
                    members[pid] = started
                    if _send(pid, started, signal.SIGSTOP):
                        quiet = 0
                time.sleep(_ROUND)
        finally:
            # Children first: a group that loses its parent while it is stopped is continued.
            killed = False
            for pid, started in reversed(members.items()):
                killed |= _send(pid, started, signal.SIGKILL)


def find_members(
    worker: tuple[int, int] | None, inode: int, mark: str, members: dict[int, bytes]
) -> list[tuple[int, bytes]]:
    """Who belongs to the worker and is not among `members`, with the start times; parents first.

    That is who is in the worker's session, or is recognised by stderr or mark; then who has a
    parent that belongs, or is in the group of one: that lies within the worker's session, or in
    one that was made inside it.
    """
    rest = {}
    belonging = set()
    groups = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        status = _status(pid)
        # The guard has the mark itself, as others must see whose guard it is.
        if status is None or pid == os.getpid():
            continue
        if members.get(pid) == status[-1]:
            belonging.add(pid)
            groups.add(status[1])
        else:
            rest[pid] = status
    session = worker[0] if worker is not None and _is_own_number(*worker) else None
    known = {
        pid
        for pid, (_, _, in_session, _) in rest.items()
        if in_session == session or _has_stderr(pid, inode) or _is_marked(pid, mark)
    }
    found = []
    while new := [
        pid
        for pid, (parent, group, _, _) in rest.items()
        if pid in known or parent in belonging or (group in groups and group != 0)
    ]:
        for pid in new:
            _, group, _, started = rest.pop(pid)
            belonging.add(pid)
            groups.add(group)
            found.append((pid, started))
    return found


def _status(pid: int) -> tuple[int, int, int, bytes] | None:
    """Parent, group, session and start time of a process; None if it is dead."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name, in parentheses, may hold blanks and parentheses itself.
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return None
    if fields[0] in b"ZX":
        return None
    return int(fields[1]), int(fields[2]), int(fields[3]), fields[19]


def _send(pid: int, started: bytes, number: signal.Signals) -> bool:
    """Send a signal to the process that started then; whether it has got it."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # Looked at after it was opened: if it is the one now, it was then.
        status = _status(pid)
        if status is None or status[-1] != started:
            return False
        signal.pidfd_send_signal(pidfd, number)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    return True


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
