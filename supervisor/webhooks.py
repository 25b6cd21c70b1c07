"""Webhooks: URLs of clients that are told how their predictions go (`spec/http-api.md` 5).

Nobody waits for them but the end of the program: each prediction has a task here that looks at its
state. The end of a prediction is told until the receiver has taken it, within bounds: of tries, and
of how much may wait for receivers that do not answer.
"""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protocol.messages import Trace
    from supervisor.config import Config, Limits
    from supervisor.interface import Webhook
    from supervisor.job import Job
    from supervisor.telemetry import Telemetry
    from supervisor.webhook_caller import Caller, Message

__all__ = ["LAST_PROGRESS", "LAST_PROGRESS_HURRIED", "TRIES_MAX", "Webhooks", "open_http_caller"]

TRIES_MAX: Final = 13
"""Tries to tell of an end, unless the program ends before."""

LAST_PROGRESS: Final = 5.0
"""Seconds after a prediction's end for what is still on its way; the end is told afterwards."""

LAST_PROGRESS_HURRIED: Final = 0.2
"""The same when the program ends: well within `Times.last_answers`, so that the end of each
prediction is tried at least once."""

_PAUSE: Final = 0.1
"""Seconds before the second try; twice as long before each one after."""

_DOUBLINGS_MAX: Final = 10
_JITTER: Final = 0.2
"""Each pause is made longer or shorter by up to this share."""

_RETRY_AFTER_MAX: Final = 120.0
"""Seconds that a receiver may ask for."""

_HURRIED_PAUSE: Final = 1.0
"""The longest pause when the program ends."""

_CLOSING: Final = 0.5
"""Seconds for the ends of connections."""


@define(eq=False)
class _Delivery:
    """One prediction whose webhook has not been told everything."""

    prediction_id: str
    host: str = ""
    size: int = 0
    """Bytes that are kept for it, roughly, when it is over."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    progress: trio.CancelScope | None = None
    """Of what is told beside the end, while that is still on its way after it."""


class Webhooks:
    """Tells of predictions, as a service of the program.

    Args:
        config: how.
        telemetry: is told what is not delivered.
        open_caller: makes what sends messages; called when there is one to send.
    """

    def __init__(
        self,
        config: Config,
        telemetry: Telemetry,
        open_caller: Callable[[Config], Awaitable[Caller]],
    ) -> None:
        self._config = config
        self._telemetry = telemetry
        self._open_caller = open_caller
        self._opening = trio.Lock()
        self._caller: Caller | None = None
        self._backlog = _Backlog(config.limits, telemetry)
        self._nursery: trio.Nursery | None = None
        self._is_hurried = False
        self._hurry = trio.lowlevel.ParkingLot()
        self._one_less = trio.lowlevel.ParkingLot()

    def watch(self, job: Job, webhook: Webhook, trace: Trace | None) -> None:
        """Tell a webhook how a prediction goes, from now on. Never waits, and never fails."""
        if self._nursery is not None:
            delivery = self._backlog.begin(job.prediction.id)
            self._nursery.start_soon(self._deliver, delivery, job, webhook, trace)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    self._nursery = None  # before it closes: a closed one takes no more tasks
        finally:
            if self._caller is not None:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING):
                    await self._caller.aclose()

    # --- the end of the program ---------------------------------------------------------------

    def hurry(self) -> None:
        """The program is about to end: no long pauses any more, and tries until it does end."""
        self._is_hurried = True
        self._hurry.unpark_all()
        self._backlog.hurry()

    async def delivered(self) -> None:
        """Wait until everything is told that there is to tell."""
        while self._backlog.count:
            await self._one_less.park()

    def give_up(self) -> None:
        """Say which predictions' ends nobody has been told. To be called before the last cancel."""
        self._backlog.report()

    # --- one prediction -----------------------------------------------------------------------

    async def _deliver(
        self, delivery: _Delivery, job: Job, webhook: Webhook, trace: Trace | None
    ) -> None:
        try:
            with delivery.scope:
                try:
                    caller = await self._ready_caller()
                except OSError as error:  # SSL_CERT_FILE, say, names no certificates
                    problem = f"the certificates to trust cannot be loaded: {error}"
                    self._telemetry.webhook_given_up(delivery.prediction_id, "", problem, 0)
                    return
                message = await self._tell_progress(caller, delivery, job, webhook, trace)
                del job  # with all that it has brought: what is kept from here on is the message
                if message is not None:
                    await self._insist(caller, delivery, message)
        # The boundary of one client's work: nothing that it leads to ends the program, which is
        # everybody's. Errors come in groups here, some of them together with a cancellation.
        except* Exception as errors:
            self._telemetry.webhook_broke(delivery.prediction_id, delivery.host, errors)
        finally:
            self._backlog.end(delivery)
            self._one_less.unpark_all()

    async def _ready_caller(self) -> Caller:
        async with self._opening:
            if self._caller is None:
                self._caller = await self._open_caller(self._config)
            return self._caller

    async def _tell_progress(
        self,
        caller: Caller,
        delivery: _Delivery,
        job: Job,
        webhook: Webhook,
        trace: Trace | None,
    ) -> Message | None:
        """Tell all but the end; what is to be told of that, if the client wants it."""
        # Not imported before somebody wants a webhook: they are slow to load.
        from supervisor.outgoing import parse_url
        from supervisor.webhook_progress import Progress

        try:
            url = parse_url(webhook.url)
        except ValueError:
            self._telemetry.webhook_ignored(delivery.prediction_id)
            return None
        delivery.host = url.host
        progress = Progress(
            job,
            webhook.events,
            url,
            trace,
            caller=caller,
            interval=self._config.times.webhook_interval,
            telemetry=self._telemetry,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(progress.run)
            await job.wait()
            self._backlog.over(delivery, job.prediction.size)
            seconds = LAST_PROGRESS_HURRIED if self._is_hurried else LAST_PROGRESS
            nursery.cancel_scope.deadline = trio.current_time() + seconds
            delivery.progress = nursery.cancel_scope
        return await progress.last_message() if "completed" in webhook.events else None

    async def _insist(self, caller: Caller, delivery: _Delivery, message: Message) -> None:
        """Send a message until it has been taken, or there is no use in it."""
        self._backlog.over(delivery, len(message.body))
        for tried in count():
            outcome = await caller.post(message)
            if not outcome.problem:
                return
            is_last = tried + 1 >= TRIES_MAX and not self._is_hurried
            if is_last or not outcome.again:
                self._telemetry.webhook_given_up(
                    delivery.prediction_id, delivery.host, outcome.problem, tried + 1
                )
                return
            if tried == 0:
                self._telemetry.webhook_delayed(
                    delivery.prediction_id, delivery.host, outcome.problem
                )
            await self._pause(_pause_after(tried, outcome.retry_after))

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(min(seconds, _HURRIED_PAUSE) if self._is_hurried else seconds):
            await self._hurry.park()


def _pause_after(tried: int, retry_after: float | None) -> float:
    """Seconds to wait after so many more tries than one."""
    jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - not a secret
    pause = _PAUSE * 2.0 ** min(tried, _DOUBLINGS_MAX) * jitter
    return max(pause, min(retry_after or 0.0, _RETRY_AFTER_MAX))


class _Backlog:
    """The predictions of which not everything is told; bounded for those that are over.

    Those that still run are bounded already, by the slots and the queue.
    """

    def __init__(self, limits: Limits, telemetry: Telemetry) -> None:
        self._limits = limits
        self._telemetry = telemetry
        self._deliveries: dict[int, _Delivery] = {}
        self._over: dict[int, _Delivery] = {}
        self._size = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._deliveries)

    def begin(self, prediction_id: str) -> _Delivery:
        """One more."""
        delivery = _Delivery(prediction_id)
        self._deliveries[id(delivery)] = delivery
        return delivery

    def over(self, delivery: _Delivery, size: int) -> None:
        """A prediction is over, and so many bytes are kept for it. The oldest may be in the way."""
        if delivery.scope.cancel_called:
            return  # it was given up itself
        self._size += size - delivery.size
        delivery.size = size
        self._over[id(delivery)] = delivery
        limits = self._limits
        while len(self._over) > 1 and (
            len(self._over) > limits.webhook_pending or self._size > limits.webhook_bytes
        ):
            oldest = next(iter(self._over.values()))
            self._telemetry.webhook_dropped(oldest.prediction_id, oldest.host)
            oldest.scope.cancel()
            self._leave(oldest)

    def end(self, delivery: _Delivery) -> None:
        """One less."""
        self._deliveries.pop(id(delivery), None)
        self._leave(delivery)

    def hurry(self) -> None:
        """Wait no longer than is hurried for progress of what is over: the ends are to be told."""
        latest = trio.current_time() + LAST_PROGRESS_HURRIED
        for delivery in self._over.values():
            if delivery.progress is not None:
                delivery.progress.deadline = min(delivery.progress.deadline, latest)

    def report(self) -> None:
        """Say what is left."""
        for delivery in self._deliveries.values():
            self._telemetry.webhook_undelivered(delivery.prediction_id, delivery.host)

    def _leave(self, delivery: _Delivery) -> None:
        if self._over.pop(id(delivery), None) is not None:
            self._size -= delivery.size


async def open_http_caller(config: Config) -> Caller:
    """What sends messages over the network. It takes some tenths of a second to load."""

    def load() -> Caller:
        from supervisor.webhook_caller import HttpCaller

        return HttpCaller(config)

    return await trio.to_thread.run_sync(load)
