"""Everything the supervisor tells its operator, in one place: one method an event.

Today every event is a log line; metrics and traces will be fed from here as well.
"""

from __future__ import annotations

from traceback import format_tb
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from protocol.messages import Log, LogLine, WorkerLog

__all__ = ["Telemetry"]

_LEVELS: Final = {
    "error": "error",
    "warn": "warning",
    "info": "info",
    "debug": "debug",
    "trace": "debug",
}

_NAMES_MAX: Final = 20


class Telemetry:
    """The supervisor's events."""

    def __init__(self) -> None:
        self._supervisor = structlog.get_logger("supervisor")
        self._setup = structlog.get_logger("coglet::setup")
        self._user = structlog.get_logger("coglet::user")
        self._prediction = structlog.get_logger("coglet::prediction")

    def listening(self, url: str, port: int | None) -> None:
        """The HTTP server accepts connections; the port is the real one, if there is one."""
        known = {} if port is None else {"port": port}
        self._supervisor.info(f"Listening on {url}", **known)

    def worker_starting(self, predictor_ref: str, slots: int) -> None:
        """A worker is about to be spawned."""
        self._supervisor.info("Worker starting", predictor=predictor_ref, slots=slots)

    def worker_ready(self, seconds: float) -> None:
        """Set-up is done and predictions are taken."""
        self._supervisor.info("Worker ready", setup_seconds=round(seconds, 3))

    def worker_ended(self, reason: str, last_words: str) -> None:
        """A worker ended although nobody asked it to."""
        self._supervisor.error("Worker ended", reason=reason, last_words=last_words or None)

    def worker_stopped(self, how: str) -> None:
        """A worker was asked to end, and did."""
        self._supervisor.info("Worker stopped", how=how)

    def worker_restarting(self, pause: float, failures: int) -> None:
        """The next worker will be started after a pause."""
        self._supervisor.warning(
            "Worker restarting", pause_seconds=round(pause, 2), failures_in_a_row=failures
        )

    def setup_failed(self, error: str) -> None:
        """The model cannot be set up; it is not tried again."""
        self._supervisor.error("Setup failed; not tried again", reason=error)

    def setup_output(self, message: Log) -> None:
        """The model wrote something during set-up."""
        self._setup.info(message.data.rstrip("\n"), source=message.source.value)

    def user_output(self, message: Log | LogLine) -> None:
        """The model wrote something that belongs to no prediction."""
        self._user.info(message.data.rstrip("\n"), source=message.source.value)

    def worker_log(self, message: WorkerLog) -> None:
        """A line of the worker's own log."""
        logger = structlog.get_logger(message.target)
        getattr(logger, _LEVELS.get(message.level, "info"))(message.message)

    def logs_dropped(self, count: int, seconds: float) -> None:
        """The worker dropped log messages."""
        self._supervisor.warning("Worker dropped log messages", count=count, seconds=seconds)

    def prediction_output(self, prediction_id: str, message: LogLine) -> None:
        """A prediction wrote something."""
        self._prediction.info(
            message.data.rstrip("\n"),
            prediction_id=prediction_id,
            source=message.source.value.capitalize(),
        )

    def prediction_ended(
        self, prediction_id: str, status: str, error: str | None, request_id: str | None
    ) -> None:
        """A prediction reached its terminal state; `request_id` is of whoever asked for it."""
        asked = {} if request_id is None else {"request_id": request_id}
        self._prediction.info(
            "Prediction ended", prediction_id=prediction_id, status=status, error=error, **asked
        )

    def inputs_dropped(self, prediction_id: str, names: list[str]) -> None:
        """A client sent inputs that the model does not have; the first of them are named."""
        self._prediction.warning(
            "Stripped unknown input fields",
            prediction_id=prediction_id,
            fields=[name[:100] for name in names[:_NAMES_MAX]],
            **({"more": len(names) - _NAMES_MAX} if len(names) > _NAMES_MAX else {}),
        )

    def metric_ignored(self, prediction_id: str, name: str, reason: str) -> None:
        """A metric was not kept; others of the prediction, ignored for the same, are not told."""
        self._prediction.warning(
            "Metric ignored", prediction_id=prediction_id, name=name[:200], reason=reason
        )

    def webhook_ignored(self, prediction_id: str) -> None:
        """A client's webhook cannot be called."""
        self._prediction.warning(
            "Webhook ignored: it is no http: or https: URL", prediction_id=prediction_id
        )

    def webhook_failed(self, prediction_id: str, host: str, problem: str) -> None:
        """A message that says how far a prediction is was not delivered, and is not sent again.

        Said once for each prediction.
        """
        self._prediction.warning(
            "Webhook not delivered", prediction_id=prediction_id, host=host, reason=problem
        )

    def webhook_delayed(self, prediction_id: str, host: str, problem: str) -> None:
        """The end of a prediction was not delivered at the first try."""
        self._prediction.warning(
            "Webhook not delivered yet; it is tried again",
            prediction_id=prediction_id,
            host=host,
            reason=problem,
        )

    def webhook_given_up(self, prediction_id: str, host: str, problem: str, tries: int) -> None:
        """The end of a prediction will not be delivered."""
        self._prediction.error(
            "Webhook given up",
            prediction_id=prediction_id,
            host=host,
            reason=problem,
            tries=tries,
        )

    def webhook_broke(self, prediction_id: str, host: str, error: BaseException) -> None:
        """An error of ours, while a webhook was told of a prediction, which it no longer is."""
        self._prediction.error(
            "Webhook given up: an error inside the server; please report it",
            prediction_id=prediction_id,
            host=host or None,
            exception=_traceback_of(error),
        )

    def upload_broke(self, prediction_id: str, error: BaseException) -> None:
        """An error of ours, while a file was uploaded; its prediction fails."""
        self._prediction.error(
            "Upload given up: an error inside the server; please report it",
            prediction_id=prediction_id,
            exception=_traceback_of(error),
        )

    def webhook_dropped(self, prediction_id: str, host: str) -> None:
        """The end of a prediction will not be delivered, in favour of newer ones."""
        self._prediction.error(
            "Webhook given up: too many do not answer (--webhook-pending, --webhook-bytes)",
            prediction_id=prediction_id,
            host=host or None,
        )

    def webhook_undelivered(self, prediction_id: str, host: str) -> None:
        """The program ends, and a webhook has not been told everything."""
        self._prediction.error(
            "Webhook not delivered before the end of the server",
            prediction_id=prediction_id,
            host=host or None,
        )

    def cancel_sent(self, prediction_id: str) -> None:
        """The worker was told to stop a prediction."""
        self._prediction.info("Cancelling prediction", prediction_id=prediction_id)

    def slot_poisoned(self, slot: str, error: str) -> None:
        """A slot will take no more predictions."""
        self._supervisor.error("Slot poisoned", slot=slot, reason=error)

    def unexpected_idle(self, slot: str) -> None:
        """A slot without a prediction said that it is idle."""
        self._supervisor.warning("Idle without a prediction", slot=slot)

    def unknown_message(self, channel: str, type_name: str) -> None:
        """A newer peer sent a message that we do not know. Said once per channel and type."""
        self._supervisor.warning("Message of unknown type skipped", channel=channel, type=type_name)

    def signal_ignored(self, name: str) -> None:
        """A signal came that the operator wants ignored."""
        self._supervisor.info("Signal ignored (--await-explicit-shutdown)", signal=name)

    def draining(self, grace: float) -> None:
        """The program was asked to end; what was accepted may finish."""
        self._supervisor.info("Draining", grace_seconds=grace)

    def stopping_now(self) -> None:
        """What was accepted does not finish by itself, or was not given the time."""
        self._supervisor.info("Stopping the worker")

    def stopped(self) -> None:
        """The program ends."""
        self._supervisor.info("Stopped")


def _traceback_of(error: BaseException) -> str:
    """Where errors come from and of which types they are; not their texts, which may quote URLs."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_traceback_of(each) for each in error.exceptions)
    return "".join(format_tb(error.__traceback__)) + type(error).__qualname__
