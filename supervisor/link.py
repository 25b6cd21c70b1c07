"""What an incarnation needs of a worker, wherever that runs, and how a worker ends.

`supervisor.process` has the one kind that there is: a worker that is our child.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    import trio

    from protocol.transport import Transport

__all__ = ["SpawnError", "WorkerEnd", "WorkerEnded", "WorkerLink"]


class SpawnError(Exception):
    """The worker could not be started; the text says why."""


@frozen
class WorkerEnd:
    """How a worker process ended.

    Attributes:
        exit_code: set when it exited.
        signal: the number of the signal that ended it. If neither is set, it could not be killed.
        last_words: what it wrote to fd 2 last and has not read itself, at most 64 kB.
        forced: the link had sent it SIGTERM or SIGKILL before.
        unread: the part of `last_words` that has not been handed on as output.
    """

    exit_code: int | None
    signal: int | None
    last_words: str = ""
    forced: bool = False
    unread: str = ""

    def describe(self) -> str:
        """For example "killed by SIGKILL" or "exited with code 3"."""
        if self.exit_code is not None:
            return f"exited with code {self.exit_code}"
        if self.signal is None:
            return "could not be killed"
        try:
            name = signal.Signals(self.signal).name
        except ValueError:
            name = f"signal {self.signal}"  # Real-time signals have no names of their own.
        return f"killed by {name}"


class WorkerEnded(Exception):
    """The worker ended while something was awaited from it.

    Attributes:
        end: how it ended.
    """

    def __init__(self, end: WorkerEnd) -> None:
        super().__init__(end.describe())
        self.end = end


class WorkerLink(Protocol):
    """What an incarnation needs of a worker, wherever that runs."""

    @property
    def control(self) -> trio.abc.Stream:
        """The control channel: what is sent is the worker's stdin, what is received its stdout."""
        ...

    @property
    def run_dir(self) -> str:
        """A private folder (0700) that lives as long as the link."""
        ...

    @property
    def transport(self) -> Transport:
        """Where the worker finds its slot sockets, for `init`."""
        ...

    async def accept_slots(self) -> list[trio.SocketStream]:
        """Wait for the worker's connections, one a slot, in index order. To be called once.

        They are closed with the link at the latest.

        Raises:
            WorkerEnded: it ended before it had made them all.
        """
        ...

    def output_waits(self) -> bool:
        """Whether the worker has not read much of its own output, and may be stuck writing more."""
        ...

    async def read_output(self) -> bytes:
        """Wait for output of the worker and take it from it; empty at its end.

        It may be among the worker's last words, until `forget_output`.
        """
        ...

    def forget_output(self) -> None:
        """The worker reads by itself again: what was taken from it are not its last words."""
        ...

    async def died(self) -> None:
        """Wait until the worker itself runs no more; what it has started may."""
        ...

    async def ended(self) -> WorkerEnd:
        """Wait until the worker has ended, and nothing of it runs. Any number of tasks may wait."""
        ...

    async def end(self, grace: float) -> WorkerEnd:
        """End the worker: wait `grace` seconds, then use more and more force.

        Returns as soon as it has ended. Being cancelled here sends nothing more; leaving the
        link's context kills at once.
        """
        ...
