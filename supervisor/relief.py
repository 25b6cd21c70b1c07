"""Reads for a worker that cannot read its own output, so that it does not wait for itself for ever.

Our worker reads the pipe that is its fd 1 and 2 on a thread. Native code that writes more than the
pipe holds, and keeps the interpreter's lock meanwhile, waits for that thread, which waits for it.

What is read here reaches the logs by a shorter way than what the worker reads: it may overtake
output that the worker has read before and not sent yet, or that still lies in a slot's socket. A
character of which the worker has read one half comes as two replacement characters.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

import trio

from protocol.messages import Healthcheck, HealthcheckResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.link import WorkerLink

__all__ = ["Relief"]

_LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the pipe."""

_ANSWER_WITHIN: Final = 0.5
"""Seconds in which a worker answers a ping, unless its interpreter's lock is held for so long."""

_PING: Final = "ping_relief_"


class Relief:
    """Looks after one worker's output.

    Args:
        link: has the pipe.
        ask: writes to the control channel.
        on_output: gets the text that was read for the worker.
    """

    def __init__(
        self,
        link: WorkerLink,
        ask: Callable[[Healthcheck], None],
        on_output: Callable[[str], None],
    ) -> None:
        self._link = link
        self._ask = ask
        self._on_output = on_output
        self._count = 0
        self._answer_to: trio.MemorySendChannel[None] | None = None

    async def watch(self) -> None:
        """Read whenever the worker cannot, until cancelled.

        A worker that was told to shut down gets no more pings, so that it counts as one that
        cannot read: better that its output comes in disorder than that it is stuck and killed.
        """
        while True:
            await trio.sleep(_LOOK_EVERY)
            if self._link.output_waits():
                await self._read_unless_alive()

    def answered(self, result: HealthcheckResult) -> bool:
        """Take the answer to a ping of ours. False: it is for somebody else."""
        if not result.id.startswith(_PING):
            return False
        if self._answer_to is not None and result.id == f"{_PING}{self._count}":
            self._answer_to.close()
            self._answer_to = None
        return True

    async def _read_unless_alive(self) -> None:
        """A worker that answers reads by itself, only not as fast as somebody writes.

        What was read for it are its last words until it has answered a ping that was sent
        afterwards: an answer may have been on its way when the worker wrote why it ends.
        """
        has_read = False
        while not await self._answers(self._ping()):
            has_read = True
        if has_read:
            self._link.forget_output()

    def _ping(self) -> trio.MemoryReceiveChannel[None]:
        self._count += 1
        self._answer_to, answer = trio.open_memory_channel[None](0)
        self._ask(Healthcheck(f"{_PING}{self._count}"))
        return answer

    async def _answers(self, answer: trio.MemoryReceiveChannel[None]) -> bool:
        """Wait for the answer to a ping. False: the worker's output was read meanwhile."""
        with answer:
            if await self._answers_unless_stuck(answer):
                return True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                await _closed(answer)
                nursery.cancel_scope.cancel()
            return False

    async def _answers_unless_stuck(self, answer: trio.MemoryReceiveChannel[None]) -> bool:
        while True:
            with trio.move_on_after(_ANSWER_WITHIN) as patience:
                await _closed(answer)
            if not patience.cancelled_caught:
                return True
            if self._link.output_waits():
                return False

    async def _read(self) -> None:
        # One for the whole round: a read may end within a character.
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            while data := await self._link.read_output():
                self._tell(decoder.decode(data))
        finally:
            self._tell(decoder.decode(b"", final=True))

    def _tell(self, text: str) -> None:
        if text:
            self._on_output(text)


async def _closed(channel: trio.MemoryReceiveChannel[None]) -> None:
    async for _ in channel:
        pass
