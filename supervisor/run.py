"""The whole program: its root nursery, and its orderly end."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import trio

from supervisor.allocator import Allocator
from supervisor.deliveries import Deliveries
from supervisor.http.draining import Draining
from supervisor.http.server import serve_http
from supervisor.process import open_worker
from supervisor.reaper import become_subreaper, reap_orphans
from supervisor.service import PredictionService
from supervisor.state.health import WorkerHealth
from supervisor.supervision import Supervision
from supervisor.telemetry import Telemetry
from supervisor.webhooks import Webhooks, open_http_caller

if TYPE_CHECKING:
    from supervisor.config import Config

__all__ = ["run_server"]


async def run_server(config: Config) -> int:
    """Serve until a signal asks for the end, or `POST /shutdown`; return the exit code.

    Raises:
        OSError: the address cannot be listened on. No worker was started.
    """
    become_subreaper()
    await _Program(config).run()
    return 0


def _signals_to_end() -> list[signal.Signals]:
    """Those that end the program in order: also a closed terminal, and what nginx's images use.

    `nohup` has SIGHUP ignored, and means it.
    """
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    return signals


class _Program:
    """The rooms of one server, and the order in which they are left."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._telemetry = Telemetry()
        self._webhooks = Webhooks(config, self._telemetry, open_http_caller)
        self._deliveries = Deliveries(config, self._telemetry)
        allocator = Allocator(config.queue)
        health = WorkerHealth(config.limits.max_logs)
        self._supervision = Supervision(config, allocator, health, self._telemetry, open_worker)
        self._service = PredictionService(
            self._supervision,
            allocator,
            health,
            config.limits,
            self._telemetry,
            webhooks=self._webhooks,
            deliveries=self._deliveries,
        )
        self._draining = Draining()
        # What a drain waits for; a second signal cancels the waiting, never the ending.
        self._patience = trio.CancelScope()

    async def run(self) -> None:
        async with trio.open_nursery() as root:
            await root.start(self._listen_for_signals)
            await root.start(reap_orphans)
            await root.start(self._webhooks.run)
            found = await root.start(
                partial(serve_http, draining=self._draining), self._service, self._config
            )
            self._telemetry.listening(found.url, found.port)
            await self._run_worker_until_drained()
            with trio.move_on_after(self._config.times.last_answers):
                await self._draining.wait_answered()
                await self._webhooks.delivered()
            self._webhooks.give_up()
            root.cancel_scope.cancel()
        self._telemetry.stopped()

    async def _run_worker_until_drained(self) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(self._deliveries.run)
            nursery.start_soon(self._supervision.run)
            await self._service.shutdown_requested()
            with self._patience:
                await self._wait_for_predictions()
            self._refuse()
            self._telemetry.stopping_now()
            nursery.cancel_scope.cancel()

    async def _wait_for_predictions(self) -> None:
        times = self._config.times
        self._telemetry.draining(times.grace)
        await trio.sleep(times.drain_delay)
        self._refuse()
        with trio.move_on_after(times.grace):
            await self._service.finished()
            await self._webhooks.delivered()

    def _refuse(self) -> None:
        self._service.refuse()
        self._draining.begin()
        self._webhooks.hurry()

    async def _listen_for_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(*_signals_to_end()) as signals:
            task_status.started()
            async for number in signals:
                if number != signal.SIGINT and self._config.await_explicit_shutdown:
                    self._telemetry.signal_ignored(signal.Signals(number).name)
                elif self._service.shutdown_was_requested:
                    self._patience.cancel()
                else:
                    self._service.request_shutdown()
