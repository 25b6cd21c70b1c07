"""Where the slot sockets are: the `transport_info` of `Init`, and the address of slot i.

The supervisor binds, the worker connects; the order of the addresses is the order of the slots.
"""

from __future__ import annotations

import os
from typing import TypeAlias

from attrs import frozen

from protocol.limits import SOCKET_PATH_MAX

__all__ = ["AbstractSockets", "NamedSockets", "Transport", "fits_named"]


@frozen
class NamedSockets:
    """Socket files `slot-0.sock`, `slot-1.sock` … in the folder `dir`."""

    dir: str
    num_slots: int

    def address(self, index: int) -> str:
        """The path of slot `index`'s socket file."""
        return os.path.join(self.dir, f"slot-{index}.sock")


@frozen
class AbstractSockets:
    """Names in Linux's abstract namespace: NUL, then `<prefix>-<index>`, of exact length."""

    prefix: str
    num_slots: int

    def address(self, index: int) -> str:
        """The abstract address of slot `index`, its leading NUL included."""
        return f"\0{self.prefix}-{index}"


Transport: TypeAlias = NamedSockets | AbstractSockets


def fits_named(directory: str, num_slots: int) -> bool:
    """Whether the longest socket path of `num_slots` slots in `directory` can be bound.

    The kernel's `sockaddr_un` holds 108 bytes with the terminating NUL.
    """
    longest = NamedSockets(directory, num_slots).address(max(num_slots - 1, 0))
    return len(os.fsencode(longest)) <= SOCKET_PATH_MAX
