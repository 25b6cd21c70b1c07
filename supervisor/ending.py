"""Why and how one life of the worker ended."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

from supervisor.process import WorkerEnd

__all__ = ["Cause", "IncarnationEnd"]


class Cause(Enum):
    """What ended it; the first cause counts, unless it `yields_to` a later one."""

    ASKED = "was asked to end"
    EXITED = "ended by itself"
    SPAWN_FAILED = "could not be started"
    SETUP_FAILED = "failed in set-up"
    SETUP_TIMEOUT = "took too long to set up"
    CHANNEL_CLOSED = "closed a channel"
    PROTOCOL_ERROR = "broke the protocol"
    STUCK = "is stuck"
    POISONED = "lost all its slots"
    FATAL = "reported a fatal error"
    FOLDER_LOST = "lost its run folder"

    def yields_to(self, later: Cause) -> bool:
        """Whether `later`, though noticed second, is why this happened.

        What a worker said just before it ended may be read after its end was seen.
        """
        return self in (Cause.EXITED, Cause.CHANNEL_CLOSED) and later in (
            Cause.SETUP_FAILED,
            Cause.FATAL,
        )


@frozen
class IncarnationEnd:
    """One incarnation's end.

    Attributes:
        cause: what ended it.
        detail: more about the cause, or empty.
        worker: how the process ended; None if there never was one.
        ready_for: seconds between `ready` and the end; None if it never was READY.
    """

    cause: Cause
    detail: str = ""
    worker: WorkerEnd | None = None
    ready_for: float | None = None

    @property
    def is_final(self) -> bool:
        """Whether another worker would only do the same again."""
        return self.cause is Cause.SETUP_FAILED

    def reason(self) -> str:
        """A sentence's end for operators and clients: "killed by SIGKILL"."""
        match self.cause:
            case Cause.SETUP_FAILED | Cause.FATAL:
                return self.detail
            case Cause.EXITED | Cause.CHANNEL_CLOSED if self.worker and not self.worker.forced:
                return self.worker.describe()
            case _:
                return f"it {self.cause.value}" + (f": {self.detail}" if self.detail else "")

    def prediction_error(self, logged: str = "") -> str:
        """The error of a prediction that this end took with it.

        Args:
            logged: what the prediction wrote last to stderr. A process that is ended by a signal
                may itself have read its reason, and handed it over as a log, just before.
        """
        if self.cause is Cause.ASKED:
            return "The server was shut down before the prediction ended"
        text = f"Worker crashed: {self.reason()}"
        last_words = self.worker.last_words.strip() if self.worker is not None else ""
        if not last_words and self.worker is not None and self.worker.signal is not None:
            last_words = logged.strip()
        if last_words:
            text += f". Its last words: {last_words[-_LAST_WORDS_IN_ERROR:]}"
        return text


_LAST_WORDS_IN_ERROR = 2000
"""Characters; the log has them all."""
