"""The link to a spawned worker: spawn, guard, kill ladder, reap, last words.

`open_worker` makes one and leaves nothing behind: no process, descriptor, zombie, file or folder.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio

from supervisor.capture import CapturePipe
from supervisor.descriptors import limit_descriptors_of
from supervisor.guard import Guard, open_guard
from supervisor.link import SpawnError, WorkerEnd, WorkerEnded, WorkerLink
from supervisor.reaper import Family, open_family
from supervisor.sockets import Peer, SlotListeners

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from supervisor.config import Config, Times

__all__ = ["SpawnError", "WorkerEnd", "WorkerEnded", "WorkerLink", "open_worker"]

log = structlog.get_logger("supervisor.process")
worker_log = structlog.get_logger("worker")

_LAUNCH: Final = Path(__file__).parent.parent / "worker" / "launch.py"


@asynccontextmanager
async def open_worker(config: Config) -> AsyncGenerator[WorkerLink]:
    """Start a worker with all that it needs, and a guard beside it.

    When the context is left, the worker and every descendant of it are killed if they still run.
    That is not cut short by a cancellation, and takes no longer than `kill_wait`, `orphan_wait` and
    the moment that the guard's end takes. If `end` has found that the worker cannot be killed, it
    is not waited for again. What needs longer to die is left to `reap_orphans`.

    Raises:
        SpawnError: no interpreter, no descriptors, no space ...; nothing is left.
    """
    async with AsyncExitStack() as stack:
        try:
            link = await _start(config, stack)
        except OSError as error:
            raise SpawnError(f"the worker could not be started: {error}") from error
        yield link


async def _start(config: Config, stack: AsyncExitStack) -> SpawnedWorker:
    run_dir = await stack.enter_async_context(_run_folder())
    listeners = stack.enter_context(SlotListeners(run_dir, config.max_concurrency))
    capture = stack.enter_context(CapturePipe())
    family = stack.enter_context(open_family())
    nursery = await stack.enter_async_context(_open_background())
    guard = await stack.enter_async_context(open_guard(run_dir, capture.inode, family))
    async with family.starting:
        process = await _spawn(config, capture, family)
        family.found(process.pid)
    # From here to the callback nothing may fail or be cancelled: the process runs.
    link = SpawnedWorker(process, run_dir, listeners, capture, family, guard, config.times)
    stack.push_async_callback(link.kill_and_close)
    link.start(nursery, drain=config.worker_command is not None)
    guard.watch(process.pid)
    nursery.start_soon(guard.keep)
    if config.worker_descriptors is not None:
        limit_descriptors_of(process.pid, config.worker_descriptors)
    log.debug("Worker process started", pid=process.pid, guard=guard.pid)
    return link


async def _spawn(config: Config, capture: CapturePipe, family: Family) -> trio.Process:
    if config.worker_command is not None:
        command: list[str] = list(config.worker_command)
        inherited: tuple[int, ...] = ()
    else:
        python = config.python or sys.executable
        command = [python, "-P", str(_LAUNCH), "--capture-fd", str(capture.read_end)]
        inherited = (capture.read_end,)
    environment = {
        name: value for name, value in os.environ.items() if name not in config.secret_environment
    }
    return await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=capture.write_end,
        pass_fds=inherited,
        start_new_session=True,
        env=environment | family.mark,
    )


class SpawnedWorker:
    """A worker that is our child process, in a session and group of its own."""

    def __init__(
        self,
        process: trio.Process,
        run_dir: str,
        listeners: SlotListeners,
        capture: CapturePipe,
        family: Family,
        guard: Guard,
        times: Times,
    ) -> None:
        assert process.stdio is not None  # noqa: S101 - both are pipes
        self.control: Final[trio.abc.Stream] = process.stdio
        self.run_dir: Final = run_dir
        self.transport: Final = listeners.transport
        # Never look at its `returncode`: that would reap it.
        self._process = process
        self._listeners = listeners
        self._capture = capture
        self._family = family
        self._guard = guard
        self._times = times
        self._forced = False
        self._is_undead = False
        self._reads_itself = True
        self._end: WorkerEnd | None = None
        self._dead = trio.Event()
        self._gone = trio.Event()
        self._drained = trio.Event()
        self._watching = trio.CancelScope(shield=True)
        self._draining = trio.CancelScope(shield=True)
        self._accepting = trio.CancelScope()
        capture.close_write_end()
        # Cannot fail for want of a descriptor: one has just been closed.
        self._pidfd = os.pidfd_open(process.pid)

    def start(self, nursery: trio.Nursery, *, drain: bool) -> None:
        """Start to watch for the worker's end, and to read its capture pipe if it does not."""
        nursery.start_soon(self._watch)
        self._reads_itself = not drain
        if drain:
            nursery.start_soon(self._drain)
        else:
            self._drained.set()

    async def accept_slots(self) -> list[trio.SocketStream]:
        """See `WorkerLink`."""
        with self._accepting:
            return await self._listeners.accept(self._is_of_worker)
        raise WorkerEnded(await self.ended())

    def _is_of_worker(self, peer: Peer) -> bool:
        try:
            return os.getsid(peer.pid) == self._process.pid
        except ProcessLookupError:
            return False

    def output_waits(self) -> bool:
        """See `WorkerLink`. What `_drain` reads never waits for the worker."""
        return self._reads_itself and self._capture.is_nearly_full()

    async def read_output(self) -> bytes:
        """See `WorkerLink`."""
        return await self._capture.read()

    def forget_output(self) -> None:
        """See `WorkerLink`."""
        self._capture.forget()

    async def died(self) -> None:
        """See `WorkerLink`."""
        await self._dead.wait()

    async def ended(self) -> WorkerEnd:
        """See `WorkerLink`."""
        await self._gone.wait()
        assert self._end is not None  # noqa: S101 - set before the event
        return self._end

    async def end(self, grace: float) -> WorkerEnd:
        """SIGTERM to the worker after `grace`, SIGKILL to its group after `term_grace`."""
        if not await self._dies_within(grace):
            self._force(signal.SIGTERM)
            if not await self._dies_within(self._times.term_grace):
                self._force(signal.SIGKILL)
                if not await self._dies_within(self._times.killed_within):
                    return self._undead()
        return await self.ended()

    async def _dies_within(self, seconds: float) -> bool:
        with trio.move_on_after(seconds):
            await self._dead.wait()
        return self._dead.is_set()

    def _force(self, number: signal.Signals) -> None:
        log.warning("Worker does not end by itself", pid=self._process.pid, sending=number.name)
        self._forced = True
        if number is signal.SIGKILL:
            self._kill_group()
        else:
            os.kill(self._process.pid, number)  # Not reaped yet: the number is its own.

    def _kill_group(self) -> None:
        """Kill the worker and all of its group. Only before it is reaped."""
        # Its group has its pid, and cannot belong to anybody else while that is not reaped.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _undead(self) -> WorkerEnd:
        log.error("Worker cannot be killed", pid=self._process.pid)
        self._is_undead = True
        unread = self._capture.read_rest()
        return WorkerEnd(None, None, self._capture.last_words(), forced=True, unread=unread)

    async def _watch(self) -> None:
        """Wait for the worker's death and bury it. Ends with the link at the latest."""
        with self._watching:
            try:
                await trio.lowlevel.wait_readable(self._pidfd)
            finally:
                os.close(self._pidfd)
            self._dead.set()
            self._accepting.cancel()
            await self._bury()

    async def _bury(self) -> None:
        self._kill_group()
        # A guard that is being started just now cannot be hurried: that is no part of the limit.
        async with self._family.starting:
            with trio.move_on_after(self._times.orphan_wait):
                await self._end_orphans()
                await self._drained.wait()
        self._draining.cancel()
        # The guard goes first: as long as it lives, the worker's number must not be used again.
        await self._guard.stand_down()
        code = await self._process.wait()
        unread = self._capture.read_rest()
        self._end = WorkerEnd(
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            last_words=self._capture.last_words(),
            forced=self._forced,
            unread=unread,
        )
        self._gone.set()

    async def _end_orphans(self) -> None:
        try:
            await self._family.end()
        except OSError as error:
            # It looks at /proc and may find no free descriptor; the worker's end is told anyway.
            log.warning("Cannot look for what the worker has left running", error=str(error))

    async def _drain(self) -> None:
        # Shielded: a worker that is being ended must not block in its last writes.
        with self._draining:
            await self._capture.drain(worker_log.info)
        self._drained.set()

    async def kill_and_close(self) -> None:
        """Kill what is left, and close the control channel. Not cancellable, and bounded."""
        with trio.CancelScope(shield=True):
            if not (self._dead.is_set() or self._is_undead):
                self._forced = True
                self._kill_group()
                if not await self._dies_within(self._times.killed_within):
                    self._undead()
            if self._dead.is_set():
                await self._gone.wait()
        if not self._gone.is_set():
            self._watching.cancel()
            self._family.forget(self._process.pid)  # It is reaped as the orphans are.
        self._draining.cancel()
        await trio.aclose_forcefully(self.control)


@asynccontextmanager
async def _open_background() -> AsyncGenerator[trio.Nursery]:
    """A nursery for tasks that end with the link; what the body raises is not put in a group."""
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except BaseException as error:
            failure = error  # Raised again below, outside the nursery.
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _run_folder() -> AsyncGenerator[str]:
    # Whoever has cleared up the temporary folder itself takes no server down.
    with suppress(OSError):
        os.mkdir(tempfile.gettempdir())
    folder = tempfile.mkdtemp(prefix="coglet-trio-")
    try:
        yield folder
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(_remove, folder)


def _remove(folder: str) -> None:
    try:
        # An empty one can be removed even when there are no descriptors left.
        os.rmdir(folder)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        if os.path.exists(folder):
            log.warning("Cannot remove what a worker has left", folder=folder)
