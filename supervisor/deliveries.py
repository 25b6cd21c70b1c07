"""Who uploads: for the operator anywhere, for clients only where clients may make us connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from supervisor.delivery import Delivery
from supervisor.interface import InputError, InvalidInput
from supervisor.outgoing import Guard
from supervisor.uploads import Destination, Uploader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.config import Config
    from supervisor.job import Job
    from supervisor.telemetry import Telemetry

__all__ = ["Deliveries"]

_CLOSING: Final = 0.5
"""Seconds for the ends of connections that are kept."""


class Deliveries:
    """Makes the deliveries of predictions, and owns the tasks in which they upload.

    Args:
        config: with `upload_url`, where the files of all predictions go.
        telemetry: is told of predictions that end with their uploads.
    """

    def __init__(self, config: Config, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._url = None if config.upload_url is None else Destination.parse(config.upload_url)
        # Two, so that what a client names can hold up nobody but such clients.
        timeout = config.times.upload_timeout
        self._operators = Uploader(None, timeout)
        self._clients = Uploader(Guard(config.worker.deny_private_urls), timeout)
        self._nursery: trio.Nursery | None = None

    def of(self, job: Job, prefix: str | None) -> Delivery | None:
        """The delivery for the outputs of `job`; None: its files are not to be uploaded.

        Args:
            job: a prediction that has not begun.
            prefix: what its client wants the URLs of its files to begin with.

        Raises:
            InvalidInput: `prefix` is no URL.
        """
        if prefix:
            try:
                destination = Destination.parse(prefix, is_prefix=True)
            except ValueError as error:
                problem = InputError(("body", "output_file_prefix"), str(error))
                raise InvalidInput([problem]) from error
            return Delivery(job, destination, self._clients, self._start, self._telemetry)
        if self._url is not None:
            return Delivery(job, self._url, self._operators, self._start, self._telemetry)
        return None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Upload until cancelled. What was not uploaded then fails its prediction."""
        try:
            async with trio.open_nursery() as self._nursery:
                try:
                    task_status.started()
                    await trio.sleep_forever()
                finally:
                    self._nursery = None  # before it closes: a closed one takes no more tasks
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSING):
                await self._operators.aclose()
                await self._clients.aclose()

    def _start(self, task: Callable[[], Awaitable[None]]) -> bool:
        if self._nursery is None:
            return False
        self._nursery.start_soon(task)
        return True
