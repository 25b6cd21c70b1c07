"""The limit of open descriptors (RLIMIT_NOFILE): raised for us, the old one for the worker.

The soft limit that a program is started with is often 1024, for the sake of programs that use
`select`. We do not, and raise ours to the hard limit. The worker inherits that, and a model, or a
library that it uses, may be such a program; so the worker gets the old soft limit back, unless its
slots need more.
"""

from __future__ import annotations

import math
import resource
from contextlib import suppress
from typing import Final

import structlog
from attrs import frozen

__all__ = ["DescriptorLimit", "limit_descriptors_of", "raise_limit"]

log = structlog.get_logger("supervisor.descriptors")

_PER_SLOT: Final = 2
"""For us: a listener, and the connection to it; all listen until all are connected.

For the worker: the connection, and one file or connection that a prediction opens itself."""

_RESERVE: Final = 128
"""What is open besides. Of us about 20, files that are written or read for a moment, and some HTTP
connections; of the worker, its control channel, at the numbers from 100 on."""


@frozen
class DescriptorLimit:
    """What `raise_limit` has found and reached."""

    before: float
    now: float
    """Both are infinite when there is no limit."""

    def shortage(self, slots: int) -> str | None:
        """What is wrong with so many slots, and what to do; None if there is room for them."""
        needed = _needed(slots)
        if needed <= self.now:
            return None
        fitting = int(self.now - _RESERVE) // _PER_SLOT
        fewer = f", or use at most {fitting} (--max-concurrency)" if fitting > 0 else ""
        subject = "1 slot needs" if slots == 1 else f"{slots} slots need"
        return (
            f"{subject} {needed} open descriptors, but the limit is {self.now}: "
            f"raise it (ulimit -n {needed}){fewer}"
        )

    def notice(self, slots: int, max_connections: int) -> str | None:
        """A warning if not all of the HTTP connections fit beside the slots.

        That is no reason not to start: a connection that finds no descriptor waits for one.
        """
        room = self.now - _needed(slots)
        if max_connections <= room:
            return None
        return (
            f"the limit of {self.now} open descriptors leaves room for about {room} HTTP "
            f"connections, and --max-connections is {max_connections}: lower that, or raise the "
            f"limit (ulimit -n {_needed(slots) + max_connections})"
        )

    def of_worker(self, slots: int) -> float:
        """The soft limit for a worker; infinite for none."""
        return max(self.before, _needed(slots))


def _needed(slots: int) -> int:
    return _PER_SLOT * slots + _RESERVE


def raise_limit() -> DescriptorLimit:
    """Raise the soft limit of this process to its hard limit."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # A sandbox may forbid it; then it stays as it is.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return DescriptorLimit(_as_number(before), _as_number(now))


def _as_number(limit: int) -> float:
    """A limit as something that compares: "none" is -1 in Python."""
    return math.inf if limit == resource.RLIM_INFINITY else limit


def limit_descriptors_of(pid: int, soft: float) -> None:
    """Set the soft limit of a worker that has just been started, and not been told anything yet.

    From outside, because that holds for a foreign worker too, and code between fork and exec
    (`preexec_fn`) may deadlock in a program with threads. The interpreter starts with our limit;
    the model is not loaded before `init` is sent.
    """
    try:
        hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
        least = min(soft, _as_number(hard))
        wanted = resource.RLIM_INFINITY if least == math.inf else int(least)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (wanted, hard))
    except OSError as error:
        log.warning("Cannot set the worker's limit of descriptors", pid=pid, error=str(error))
