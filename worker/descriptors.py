"""The worker's file descriptors: the wire out of the model's reach, fd 1 and 2 into the capture.

The supervisor starts us with the control channel on fd 0 and 1. Both move above 100 and are
close-on-exec, like everything else of ours; what the model and its children find on fd 0, 1 and 2
cannot touch the wire.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Final

from attrs import frozen

from protocol.limits import CAPTURE_PIPE

__all__ = ["LOWEST", "Descriptors", "close_quietly", "move_up", "take_descriptors"]

LOWEST: Final = 100
"""Our descriptors have this number or a higher one: programs like to close the low ones."""


@frozen
class Descriptors:
    """What the worker reads and writes besides its slot sockets."""

    control_in: int
    """The control channel, from the supervisor."""
    control_out: int
    """The control channel, to the supervisor."""
    capture: int
    """The read end of the pipe whose write end is fd 1 and fd 2."""

    def close(self) -> None:
        """Close all of them; for a forked child, which must not hold the wire open."""
        for descriptor in (self.control_in, self.control_out, self.capture):
            close_quietly(descriptor)


def take_descriptors(capture: int | None) -> Descriptors:
    """Move the control channel away from fd 0 and 1, and make fd 1 and 2 the capture pipe.

    Args:
        capture: the read end of the pipe whose write end is fd 2. None, under a foreign parent: a
            new pipe is made.

    Raises:
        OSError: a descriptor is not open, or there are too many.
    """
    if capture is None:
        capture, write_end = os.pipe()  # before fd 0 and 1 are free, or it would get them
        # Nobody reads for us if native code fills it and lets no other thread run.
        with suppress(OSError):
            fcntl.fcntl(capture, fcntl.F_SETPIPE_SZ, CAPTURE_PIPE)
        os.dup2(write_end, 2)
        os.close(write_end)
    capture = move_up(capture)
    control_in = move_up(0)
    control_out = move_up(1)
    os.dup2(2, 1)
    null = move_up(os.open(os.devnull, os.O_RDONLY))
    os.dup2(null, 0)
    os.close(null)
    return Descriptors(control_in, control_out, capture)


def move_up(descriptor: int) -> int:
    """Give `descriptor` a number out of the model's reach. Raises `OSError` if there is none."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOWEST)
    os.close(descriptor)
    return moved


def close_quietly(descriptor: int) -> None:
    """Close `descriptor`, which may be closed already."""
    try:
        os.close(descriptor)
    except OSError:
        return
