"""Real workers, real signals: how they are started, how they end, and that nothing is left."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import stat
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from protocol.transport import AbstractSockets, NamedSockets
from supervisor.config import Config, Times
from supervisor.process import SpawnError, WorkerEnd, WorkerEnded, open_worker
from supervisor.reaper import become_subreaper, reap_orphans
from tests.supervisor.process_table import (
    LONG,
    PATIENCE,
    children,
    died,
    exists,
    foreign,
    nothing_left,
    read_line,
    read_pids,
    runs,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

PATIENT = Times(term_grace=LONG, kill_wait=LONG, orphan_wait=LONG)
HASTY = Times(term_grace=0.05, kill_wait=LONG)

SLEEPER = """
    import time
    print("up", flush=True)
    time.sleep(1000)
"""
STUBBORN = """
    import os, signal, subprocess, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "1000"])
    print(os.getpid(), child.pid, flush=True)
    time.sleep(1000)
"""
LEAVES_CHILD = """
    import os, subprocess
    child = subprocess.Popen(["sleep", "1000"], stdin=0, stdout=subprocess.DEVNULL)
    print(os.getpid(), child.pid, flush=True)
"""
ABORTS = """
    import ctypes
    libc = ctypes.CDLL(None)
    libc.calloc.restype = ctypes.c_void_p
    libc.free(ctypes.c_void_p(libc.calloc(100, 1) + 8))
"""


@pytest.fixture(autouse=True)
def temp_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A short temporary folder; after each test it is empty, and nothing else is left either."""
    tmp_path_factory.getbasetemp()  # Is made at its first use, where `tempfile` says: not in ours.
    folder = tempfile.mkdtemp(dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    with nothing_left(folder):
        yield folder
    os.rmdir(folder)


@pytest.fixture
def subreaper() -> Iterator[None]:
    become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """Stands for the model's Python: told to run `launch.py`, it shows what it was given."""
    path = tmp_path / "python"
    path.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, os, sys\n"
        "fds = {int(n): os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "       if os.path.exists(f'/proc/self/fd/{n}')}\n"
        "print(json.dumps([sys.argv[1:], fds]), flush=True)\n"
        "sys.stderr.write('gone wrong')\n"
        "sys.exit(5)\n"
    )
    path.chmod(0o700)
    return path


# --- how it is started -----------------------------------------------------------------------


async def test_control_is_the_workers_stdin_and_stdout() -> None:
    echo = "import sys; sys.stdout.write(sys.stdin.readline().upper())"
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(echo)) as link:
            await link.control.send_all(b"hello\n")
            assert await read_line(link.control) == "HELLO"
            assert await link.end(LONG) == WorkerEnd(0, None)


async def test_worker_has_its_own_session_and_no_descriptor_too_many() -> None:
    code = """
        import os
        fds = [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]
        print(os.getpid(), os.getsid(0), os.getpgid(0), *sorted(fds), flush=True)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code)) as link:
            pid, session, group, *fds = await read_pids(link.control)
    assert session == group == pid
    assert fds == [0, 1, 2]


async def test_our_worker_gets_the_read_end_of_its_own_stderr(interpreter: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(Config("predict.py", python=str(interpreter))) as link:
            argv, fds = json.loads(await read_line(link.control))
            end = await link.ended()
    assert argv[0] == "-P"
    assert argv[1].endswith("/worker/launch.py")
    assert argv[2] == "--capture-fd"
    assert set(fds) == {"0", "1", "2", argv[3]}
    assert fds[argv[3]] == fds["2"] != fds["1"]
    assert end == WorkerEnd(5, None, "gone wrong", unread="gone wrong")


async def test_secrets_stay_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_TOKEN", "s3cret")
    monkeypatch.setenv("HARMLESS", "yes")
    code = "import os; print(os.environ.get('WEBHOOK_TOKEN'), os.environ.get('HARMLESS'))"
    config = foreign(code, secret_environment=frozenset({"WEBHOOK_TOKEN", "UNSET"}))
    with trio.fail_after(PATIENCE):
        async with open_worker(config) as link:
            assert await read_line(link.control) == "None yes"


async def test_worker_gets_its_own_limit_of_descriptors() -> None:
    code = """
        import resource
        input()
        print(*resource.getrlimit(resource.RLIMIT_NOFILE), flush=True)
    """
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, worker_descriptors=77)) as link:
            await link.control.send_all(b"\n")
            assert await read_pids(link.control) == [77, ours[1]]
        async with open_worker(foreign(code)) as link:
            await link.control.send_all(b"\n")
            assert await read_pids(link.control) == list(ours)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == ours


async def test_run_folder_is_private_and_holds_the_sockets(temp_root: str) -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(SLEEPER, max_concurrency=2)) as link:
            assert link.transport == NamedSockets(link.run_dir, 2)
            assert os.path.dirname(link.run_dir) == temp_root
            assert stat.S_IMODE(os.stat(link.run_dir).st_mode) == 0o700
            assert sorted(os.listdir(link.run_dir)) == ["slot-0.sock", "slot-1.sock"]
            os.makedirs(os.path.join(link.run_dir, "0-1", "outputs"))


# --- how it ends -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected", "text"),
    [
        ("pass", WorkerEnd(0, None), "exited with code 0"),
        ("raise SystemExit(3)", WorkerEnd(3, None), "exited with code 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            WorkerEnd(None, signal.SIGKILL),
            "killed by SIGKILL",
        ),
        (
            "import ctypes; ctypes.string_at(0)",
            WorkerEnd(None, signal.SIGSEGV),
            "killed by SIGSEGV",
        ),
        ("import os; os.kill(os.getpid(), 40)", WorkerEnd(None, 40), "killed by signal 40"),
    ],
)
async def test_end_by_itself(code: str, expected: WorkerEnd, text: str) -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code)) as link:
            end = await link.ended()
            assert end == await link.ended() == await link.end(LONG) == expected
    assert end.describe() == text


def test_end_of_the_unkillable() -> None:
    end = WorkerEnd(None, None)
    assert end.describe() == "could not be killed"


async def test_many_may_wait_for_the_end() -> None:
    ends = []
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign("input()")) as link, trio.open_nursery() as nursery:

            async def wait() -> None:
                ends.append(await link.ended())

            for _ in range(3):
                nursery.start_soon(wait)
            with trio.CancelScope() as impatient:
                impatient.cancel()
                await link.ended()
            await link.control.send_all(b"\n")
    assert ends == [WorkerEnd(0, None)] * 3


async def test_end_shows_on_the_process_not_on_its_pipes() -> None:
    """A child of the model has inherited the control channel and keeps it open."""
    code = """
        import os, time
        if os.fork() == 0:
            os.setpgid(0, 0)
            print(os.getpid(), flush=True)
            time.sleep(1000)
        os.read(0, 1)
        os._exit(7)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, Times(orphan_wait=0.5))) as link:
            (child,) = await read_pids(link.control)
            await link.control.send_all(b"\n")
            end = await link.ended()
            assert runs(child)
            os.kill(child, signal.SIGKILL)
            await died(child)
    assert end.exit_code == 7


# --- the ladder: with graces of 1000 s, every step that is awaited in vain shows ---------------


async def test_ladder_waits_for_an_end_by_itself() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign("input()", PATIENT)) as link:
            await link.control.send_all(b"\n")
            assert await link.end(LONG) == WorkerEnd(0, None, forced=False)


async def test_ladder_asks_with_sigterm() -> None:
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        print("up", flush=True)
        time.sleep(1000)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, PATIENT)) as link:
            await read_line(link.control)
            assert await link.end(0) == WorkerEnd(9, None, forced=True)


async def test_sigterm_reaches_the_worker_only() -> None:
    code = """
        import os, signal, subprocess, sys, time
        child = subprocess.Popen(["sleep", "1000"])
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(8 if child.poll() is None else 1))
        print("up", flush=True)
        time.sleep(1000)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, PATIENT)) as link:
            await read_line(link.control)
            assert (await link.end(0)).exit_code == 8


async def test_ladder_kills_the_whole_group() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(STUBBORN, HASTY)) as link:
            worker, child = await read_pids(link.control)
            end = await link.end(0)
            assert not exists(worker)
            await died(child)
    assert end == WorkerEnd(None, signal.SIGKILL, forced=True)


async def test_ladder_ends_a_stopped_worker() -> None:
    code = "import os; print(os.getpid(), flush=True); os.kill(os.getpid(), 19)"
    stopped = os.WSTOPPED | os.WNOWAIT
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, HASTY)) as link:
            (pid,) = await read_pids(link.control)
            await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, stopped)
            assert (await link.end(0)).signal == signal.SIGKILL


async def test_cancelled_ladder_is_finished_by_the_context() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(STUBBORN, PATIENT)) as link:
            worker, child = await read_pids(link.control)
            with trio.move_on_after(0) as scope:
                await link.end(LONG)
            assert scope.cancelled_caught
            assert runs(worker)
        await died(child)
    assert (await link.ended()).forced


async def test_leaving_the_context_kills_at_once() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(STUBBORN, PATIENT)) as link:
            worker, child = await read_pids(link.control)
        assert not exists(worker)
        await died(child)
    assert await link.ended() == WorkerEnd(None, signal.SIGKILL, forced=True)


async def test_with_no_time_to_wait_a_killed_worker_is_still_reaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It is this that is waited for, however long a busy machine needs.
    monkeypatch.setattr("supervisor.config._LEAST_KILL_WAIT", PATIENCE)
    hurried = Times(kill_wait=0, orphan_wait=0)
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with open_worker(foreign(STUBBORN, hurried)) as link:
            worker, child = await read_pids(link.control)
        assert not exists(worker)
        await died(child)
        assert await link.ended() == WorkerEnd(None, signal.SIGKILL, forced=True)
    assert {entry["log_level"] for entry in logged} == {"debug"}


# Trio and `subprocess` complain of a process that nobody has waited for.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("asked", [True, False])
async def test_who_cannot_be_killed_is_not_waited_for_twice(
    asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can make a process that SIGKILL does not end, so it is not sent."""
    times = Times(term_grace=0, kill_wait=0, orphan_wait=LONG)
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            await nursery.start(reap_orphans)
            async with open_worker(foreign(STUBBORN, times)) as link:
                worker, child = await read_pids(link.control)
                monkeypatch.setattr(os, "killpg", lambda *_: None)
                if asked:
                    assert await link.end(0) == WorkerEnd(None, None, forced=True)
            # When it dies after all, it does not stay as a zombie.
            await until(lambda: not exists(worker))
            nursery.cancel_scope.cancel()
        os.kill(child, signal.SIGKILL)
        await died(child)
    assert [entry["log_level"] for entry in logged].count("error") == 1


# --- what outlives the worker ----------------------------------------------------------------


async def test_rest_of_the_group_dies_with_the_worker() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(LEAVES_CHILD)) as link:
            worker, child = await read_pids(link.control)
            assert (await link.ended()).exit_code == 0
            assert not exists(worker)
            await died(child)


@pytest.mark.usefixtures("subreaper")
@pytest.mark.parametrize("environment", ["dict(os.environ)", "{}"])
async def test_who_left_the_group_dies_too(environment: str) -> None:
    code = f"""
        import os, subprocess, sys
        sleep = ["sleep", "1000"]
        environment = {environment}
        away = subprocess.Popen(sleep, start_new_session=True, env=environment)
        family = (
            "import os, subprocess, time;"
            "child = subprocess.Popen(['sleep', '1000'], start_new_session=True);"
            "print(os.getpid(), child.pid, flush=True);"
            "time.sleep(1000)"
        )
        tree = subprocess.Popen([sys.executable, "-ISc", family], start_new_session=True,
                                env=environment, stdout=subprocess.PIPE)
        near = subprocess.Popen(sleep)
        print(away.pid, near.pid, tree.stdout.readline().decode(), flush=True)
        os.kill(os.getpid(), 9)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, PATIENT)) as link:
            pids = await read_pids(link.control)
            assert len(pids) == 4
            assert (await link.ended()).signal == signal.SIGKILL
            assert [pid for pid in pids if exists(pid)] == []


LEAVES_FAMILY = """
    import os, subprocess, sys
    family = (
        "import os, subprocess, time;"
        "child = subprocess.Popen(['sleep', '1000'], start_new_session=True);"
        "print(os.getpid(), child.pid, flush=True);"
        "time.sleep(1000)"
    )
    tree = subprocess.Popen([sys.executable, "-ISc", family], start_new_session=True,
                            stdout=subprocess.PIPE)
    print(tree.stdout.readline().decode(), flush=True)
"""


@pytest.mark.usefixtures("subreaper")
@pytest.mark.parametrize("with_next_worker", [False, True])
async def test_who_needs_longer_to_die_is_ended_later(with_next_worker: bool) -> None:
    """With all that it leaves us then, though another worker may have been started meanwhile."""
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await nursery.start(reap_orphans)
            async with open_worker(foreign(LEAVES_FAMILY, Times(orphan_wait=0))) as link:
                pids = await read_pids(link.control)
                await link.ended()
            async with AsyncExitStack() as stack:
                if with_next_worker:
                    await stack.enter_async_context(open_worker(foreign(SLEEPER)))
                await until(lambda: not any(map(exists, pids)))
            nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("subreaper")
async def test_without_the_reaper_the_next_worker_ends_what_the_last_one_left() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(LEAVES_FAMILY, Times(orphan_wait=0))) as link:
            pids = await read_pids(link.control)
            await link.ended()
        await died(pids[0])
        for _ in pids:
            async with open_worker(foreign("pass")) as link:
                await link.ended()
            await until(lambda: not any(map(runs, pids)))
        assert not any(map(exists, pids))


@pytest.mark.usefixtures("subreaper")
async def test_nobody_else_dies_with_the_worker() -> None:
    away = """
        import os, subprocess, time
        # Two forks: the second is an orphan of the first, and comes to us while the worker lives.
        if os.fork() == 0:
            child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            print(os.getpid(), child.pid, flush=True)
            os._exit(0)
        os.wait()
        time.sleep(1000)
    """
    with trio.fail_after(PATIENCE):
        elder = await trio.lowlevel.open_process(["sleep", "1000"], start_new_session=True)
        plain = await trio.lowlevel.open_process(["sleep", "1000"])
        async with open_worker(foreign(away, PATIENT)) as other:
            _, orphan = await read_pids(other.control)
            async with open_worker(foreign("raise SystemExit(2)")) as link:
                assert (await link.ended()).exit_code == 2
            younger = await trio.lowlevel.open_process(["sleep", "1000"])
            assert runs(orphan)
            assert (await other.end(0)).signal == signal.SIGTERM
            assert not exists(orphan)
        for process in elder, plain, younger:
            assert process.poll() is None
            process.kill()
            await process.wait()


@pytest.mark.usefixtures("subreaper")
@pytest.mark.parametrize("at_its_end", [False, True])
async def test_a_killed_guard_is_replaced_while_the_worker_lives(at_its_end: bool) -> None:
    """And it is not taken for an orphan, nor left, when the worker ends at that moment."""
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            await nursery.start(reap_orphans)
            async with open_worker(foreign("input()")) as link:
                guard = logged[0]["guard"]
                others = children() - {guard}
                os.kill(guard, signal.SIGKILL)
                while not (at_its_end or children() - others - {guard}):
                    await trio.lowlevel.checkpoint()
                await link.control.send_all(b"\n")
                assert (await link.ended()).exit_code == 0
                assert children() < others
            nursery.cancel_scope.cancel()
    assert {entry["log_level"] for entry in logged} <= {"debug", "warning"}


# --- last words ------------------------------------------------------------------------------


async def test_glibcs_abort_text_is_the_last_word() -> None:
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(ABORTS)) as link:
            end = await link.ended()
    assert end.signal == signal.SIGABRT
    assert "free(): invalid pointer" in end.last_words


async def test_glibcs_abort_text_of_our_own_worker(interpreter: Path) -> None:
    """Nobody but the worker reads the pipe, and it is dead."""
    await trio.Path(interpreter).write_text(f"#!{sys.executable} -IS\nif True:\n{ABORTS}")
    with trio.fail_after(PATIENCE):
        async with open_worker(Config("predict.py", python=str(interpreter))) as link:
            end = await link.ended()
    assert end.signal == signal.SIGABRT
    assert end.last_words.strip() == "free(): invalid pointer"


async def test_foreign_workers_stderr_is_logged_and_its_end_kept() -> None:
    code = r"""
        import os
        for n in range(20_000):
            os.write(2, b"line %d\n" % n)
        os.write(2, b"caf\xc3\xa9 \xff, no newline")
    """
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with open_worker(foreign(code, PATIENT)) as link:
            end = await link.ended()
    lines = [entry["event"] for entry in logged if entry["log_level"] == "info"]
    assert lines == [f"line {n}" for n in range(20_000)] + ["café �, no newline"]
    assert end.exit_code == 0
    assert len(end.last_words.encode()) == pytest.approx(64 * 1024, abs=2)
    assert end.last_words.endswith("line 19999\ncafé �, no newline")


async def test_drain_goes_on_while_the_worker_is_being_ended() -> None:
    """Also when everything around it is cancelled, as on the way out of the program."""
    code = """
        import os, signal, sys, time
        def on_term(*_):
            for _ in range(100):
                os.write(2, b"x" * 10_000 + b"\\n")
            os._exit(4)
        signal.signal(signal.SIGTERM, on_term)
        print("up", flush=True)
        time.sleep(1000)
    """
    with trio.fail_after(PATIENCE), capture_logs() as logged, trio.CancelScope() as outer:
        async with open_worker(foreign(code, PATIENT)) as link:
            await read_line(link.control)
            outer.cancel()
            with trio.CancelScope(shield=True):
                assert (await link.end(0)).exit_code == 4
    assert sum(entry["event"] == "x" * 10_000 for entry in logged) == 100


async def test_last_words_do_not_wait_for_who_keeps_the_pipe_open() -> None:
    code = """
        import os, subprocess
        child = subprocess.Popen(["sh", "-c", "while :; do echo noise >&2; done"],
                                 start_new_session=True)
        print(child.pid, flush=True)
        os._exit(6)
    """
    with trio.fail_after(PATIENCE), capture_logs():
        async with open_worker(foreign(code, Times(orphan_wait=0.5))) as link:
            (child,) = await read_pids(link.control)
            end = await link.ended()
            os.kill(child, signal.SIGKILL)
            await died(child)
    assert end.exit_code == 6
    assert len(end.last_words) <= 64 * 1024


async def test_a_death_is_known_before_the_burial() -> None:
    """Whoever reads the pipe for the worker must stop: what is in it now are its last words."""
    code = """
        import os, subprocess, sys
        child = subprocess.Popen(["sleep", "300"], start_new_session=True)
        print(child.pid, flush=True)
        os.write(2, b"the reason")
        os._exit(6)
    """
    with trio.fail_after(PATIENCE), capture_logs():
        async with open_worker(foreign(code)) as link, trio.open_nursery() as nursery:
            await read_pids(link.control)
            order = []

            async def note(name: str, event: Callable[[], Awaitable[object]]) -> None:
                await event()
                order.append(name)

            nursery.start_soon(note, "ended", link.ended)
            nursery.start_soon(note, "died", link.died)
            end = await link.ended()
    assert order == ["died", "ended"]
    assert end.last_words == "the reason"


# --- slots -----------------------------------------------------------------------------------

CONNECTS = """
    import os, socket, sys
    socks = []
    for index, address in enumerate(sys.stdin.readline().split()):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(bytes.fromhex(address))
        sock.sendall(b"slot %d" % index)
        socks.append(sock)
    sys.stdin.readline()
"""


async def tell_addresses(link_transport: NamedSockets | AbstractSockets) -> bytes:
    addresses = [link_transport.address(index) for index in range(link_transport.num_slots)]
    return " ".join(os.fsencode(address).hex() for address in addresses).encode() + b"\n"


@pytest.mark.parametrize("depth", [0, 80])
async def test_slots_are_accepted_in_index_order(
    depth: int, temp_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder too deep for socket files they are abstract."""
    deep = os.path.join(temp_root, "x" * depth)
    os.makedirs(deep, exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", deep)
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(CONNECTS, max_concurrency=3)) as link:
            assert isinstance(link.transport, AbstractSockets if depth else NamedSockets)
            await link.control.send_all(await tell_addresses(link.transport))
            streams = await link.accept_slots()
            for index, stream in enumerate(streams):
                assert await stream.receive_some() == b"slot %d" % index
            await link.control.send_all(b"\n")
            assert (await link.ended()).exit_code == 0
    if depth:
        shutil.rmtree(deep)


async def test_stranger_does_not_become_a_slot(
    temp_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = os.path.join(temp_root, "x" * 80)
    os.mkdir(deep)
    monkeypatch.setattr(tempfile, "tempdir", deep)
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with open_worker(foreign(CONNECTS)) as link:
            with trio.socket.socket(trio.socket.AF_UNIX) as stranger:
                await stranger.connect(link.transport.address(0))
                await link.control.send_all(await tell_addresses(link.transport))
                (stream,) = await link.accept_slots()
                assert await stranger.recv(1) == b""
            assert await stream.receive_some() == b"slot 0"
    (entry,) = [entry for entry in logged if entry["event"].startswith("Stranger")]
    assert (entry["slot"], entry["pid"], entry["uid"]) == (0, os.getpid(), os.getuid())
    os.rmdir(deep)


@pytest.mark.parametrize("connections", [0, 1])
async def test_accepting_ends_with_the_worker(connections: int) -> None:
    code = f"""
        import os, socket, sys
        for address in sys.stdin.readline().split()[:{connections}]:
            socket.socket(socket.AF_UNIX).connect(bytes.fromhex(address))
        sys.exit(11)
    """
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign(code, max_concurrency=2)) as link:
            await link.control.send_all(await tell_addresses(link.transport))
            with pytest.raises(WorkerEnded, match="exited with code 11") as caught:
                await link.accept_slots()
            assert caught.value.end == WorkerEnd(11, None)


# --- whatever happens, nothing is left (asserted by the fixture) -------------------------------


async def test_error_of_the_body_comes_out_as_it_is() -> None:
    with trio.fail_after(PATIENCE), pytest.raises(ZeroDivisionError):
        async with open_worker(foreign(STUBBORN)):
            raise ZeroDivisionError


async def test_no_interpreter(temp_root: str) -> None:
    config = Config("predict.py", python=f"{temp_root}/no-such-python")
    with trio.fail_after(PATIENCE), pytest.raises(SpawnError, match="no-such-python"):
        async with open_worker(config):
            pytest.fail("it was opened")


async def test_no_guard(monkeypatch: pytest.MonkeyPatch, temp_root: str) -> None:
    config = foreign(SLEEPER)
    monkeypatch.setattr(sys, "executable", f"{temp_root}/no-such-python")
    with trio.fail_after(PATIENCE), pytest.raises(SpawnError, match="no-such-python"):
        async with open_worker(config):
            pytest.fail("it was opened")


async def test_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(SpawnError, match="/no/such/folder"):
        async with open_worker(foreign(SLEEPER)):
            pytest.fail("it was opened")


async def test_a_temporary_folder_that_was_cleared_away_is_made_again(
    monkeypatch: pytest.MonkeyPatch, temp_root: str
) -> None:
    folder = os.path.join(temp_root, "gone")
    monkeypatch.setattr(tempfile, "tempdir", folder)
    with trio.fail_after(PATIENCE):
        async with open_worker(foreign("")) as link:
            assert (await link.ended()).exit_code == 0
    os.rmdir(folder)


async def test_out_of_descriptors(temp_root: str) -> None:
    """With each number of free descriptors, from none up to enough."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    refused, free = 0, 0
    opened = False
    while not opened:
        with nothing_left(temp_root), ExitStack() as stack:
            fillers = [stack.enter_context(socket.socket()) for _ in range(64)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1].fileno() + 1, hard))
            stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers[len(fillers) - free :]:
                filler.close()
            with trio.fail_after(PATIENCE):
                try:
                    async with open_worker(foreign(SLEEPER)):
                        opened = True
                except SpawnError:
                    refused += 1
        free += 1
    assert refused > 5


async def test_end_without_free_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with trio.fail_after(PATIENCE), capture_logs() as logged:
        async with open_worker(foreign("input()")) as link:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                await link.control.send_all(b"\n")
                assert await link.end(LONG) == WorkerEnd(0, None)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [entry["log_level"] for entry in logged] == ["debug", "warning"]


async def test_cancelled_at_any_moment(temp_root: str) -> None:
    """Cancelled before each step that the task makes, until it gets through."""
    steps, through = 0, False
    while not through:
        with nothing_left(temp_root), trio.fail_after(PATIENCE), trio.CancelScope() as scope:
            instrument = CancelAtStep(scope, steps)
            trio.lowlevel.add_instrument(instrument)
            try:
                async with open_worker(foreign(STUBBORN)) as link:
                    await read_pids(link.control)
                    through = True
            finally:
                trio.lowlevel.remove_instrument(instrument)
        steps += 1
    assert steps > 3


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when the current task has been scheduled so many times more."""

    def __init__(self, scope: trio.CancelScope, steps: int) -> None:
        self._scope = scope
        self._steps = steps
        self._task = trio.lowlevel.current_task()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            if self._steps == 0:
                self._scope.cancel()
            self._steps -= 1
