"""What the rest of the worker asks of whatever runs the model's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

from worker.capture import Capture
from worker.interrupter import Interrupter
from worker.logs import LogRouter
from worker.options import Options
from worker.predictor import Predictor
from worker.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Awaitable

__all__ = ["Engine", "TookTooLong", "Workplace"]


class TookTooLong(Exception):
    """A healthcheck has not ended in time. No `TimeoutError`: the model's own may be one."""


@frozen
class Workplace:
    """All that an engine works with."""

    predictor: Predictor
    slots: list[Slot]
    router: LogRouter
    capture: Capture
    interrupter: Interrupter
    """Interrupts what blocks the main thread."""
    checkpoint: Callable[[], None]
    """To be called at the end of what the model calls of ours; may raise."""
    warn: Callable[[str], None]
    """Writes a line of the worker's own log. From any thread."""
    options: Options
    is_train: bool


class Engine(Protocol):
    """Runs set-up and predictions, then teardown: two calls on the main thread, in turn."""

    def run(self, ready: Callable[[], bool]) -> None:
        """Run the model's set-up, call `ready`, and run predictions.

        Returns after `stop`, or when no slot can be used any more; or when `ready` says no.

        Raises:
            BaseException: what the model's set-up raises; `ready` was not called then.
        """

    def tear_down(self) -> None:
        """Run the model's teardown, if it has one, and let go of all that is left.

        After `run`, if the model was set up. It takes the time that the model takes: whoever ends
        the worker counts.

        Raises:
            BaseException: what the model raises.
        """

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Handle a `Cancel` (`spec/protocol.md` 2). From the control thread."""

    def stop(self, grace: float | None) -> None:
        """Start nothing more and let `run` return, when what runs has ended.

        Args:
            grace: after so many seconds what still runs is cancelled. None: never.

        From the control thread, also before and during set-up.
        """

    def complete(self, awaitable: Awaitable[Any], limit: float) -> Any:
        """Wait for what a healthcheck has answered, where such things run. From another thread.

        Raises:
            TookTooLong: it has not ended within `limit` seconds.
            BaseException: what the model raises.
        """

    def loop_idle(self) -> float | None:
        """Seconds since the event loop last turned; None if there is none. From any thread."""
