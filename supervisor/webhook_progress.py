"""What a webhook is told of one prediction while it runs, and what at its end.

Each message is the state of the prediction at the moment at which it is sent, and the next one is
sent when the receiver has answered. So messages are in order; what happens while a receiver is slow
is told together, and waits nowhere but in the prediction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import trio

from protocol.json_text import dumps
from supervisor.big_json import encode_off_loop
from supervisor.interface import EventKind, PredictionStatus
from supervisor.webhook_caller import Message

if TYPE_CHECKING:
    import httpx

    from protocol.messages import Trace
    from supervisor.job import Job
    from supervisor.telemetry import Telemetry
    from supervisor.webhook_caller import Caller

__all__ = ["Progress"]


class Progress:
    """The messages about one prediction.

    Args:
        job: the prediction.
        events: those that the client wants: "start", "output", "logs", "completed".
        url: where they are sent.
        trace: goes along with them.
        caller: sends them.
        interval: seconds from one message to the next one if there are only new logs to tell.
        telemetry: is told of the first one that is not delivered.
    """

    def __init__(
        self,
        job: Job,
        events: frozenset[str],
        url: httpx.URL,
        trace: Trace | None,
        *,
        caller: Caller,
        interval: float,
        telemetry: Telemetry,
    ) -> None:
        self._job = job
        self._events = events
        self._url = url
        self._trace = trace
        self._caller = caller
        self._interval = interval
        self._telemetry = telemetry
        self._start_told = "start" not in events
        self._told = -1
        self._last = float("-inf")
        self._complained = False

    async def run(self) -> None:
        """Tell what happens until the prediction is over, and all but its end is told.

        A message that is not delivered is not sent again: the next one says more.
        """
        while self._events != {"completed"}:
            is_over = self._job.prediction.is_terminal
            if not self._start_told and self._newest(EventKind.START) >= 0:
                await self._tell_start()
            elif is_over and "completed" in self._events:
                return  # that will tell everything
            elif (pause := self._pause()) is None:
                if is_over:
                    return
                await self._job.next_event()
            elif pause > 0 and not is_over:
                with trio.move_on_after(pause):
                    await self._job.next_event()
            else:
                await self._tell_state()

    async def last_message(self) -> Message:
        """What is to be told of the end."""
        return self._message(await self._state())

    def _pause(self) -> float | None:
        """Seconds until there is something to tell; None: there is nothing."""
        if "output" in self._events and self._newest(EventKind.OUTPUT) > self._told:
            return 0.0
        if "logs" in self._events and self._newest(EventKind.LOG) > self._told:
            return max(0.0, self._last + self._interval - trio.current_time())
        return None

    def _newest(self, kind: EventKind) -> int:
        return self._job.prediction.history.newest(kind)

    async def _tell_start(self) -> None:
        # Always as it was, even if more has happened since: clients wait for this very one.
        self._start_told = True
        started = {"id": self._job.prediction.id, "status": PredictionStatus.PROCESSING.value}
        await self._tell(dumps({**started, "logs": "", "metrics": {}}))

    async def _tell_state(self) -> None:
        self._told = self._job.prediction.history.count - 1
        await self._tell(await self._state())

    async def _tell(self, body: bytes | bytearray) -> None:
        self._last = trio.current_time()
        outcome = await self._caller.post(self._message(body))
        if outcome.problem and not self._complained:
            self._complained = True
            self._telemetry.webhook_failed(self._job.prediction.id, self._url.host, outcome.problem)

    def _message(self, body: bytes | bytearray) -> Message:
        return Message(f"msg_{uuid4().hex}", self._url, body, self._trace)

    async def _state(self) -> bytes | bytearray:
        view = self._job.view()
        return await encode_off_loop(view.as_state(), view.size)
