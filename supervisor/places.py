"""Places for what is under way together: so many in all, and so many of them for one host.

One host that is slow holds up what goes to it, and little of what goes to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

import trio
from attrs import define

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Places", "PlacesByHost"]


@define(eq=False)
class Places:
    """Those for one host; `async with` takes one. They are given in the order of asking."""

    _host: trio.Semaphore
    _all: trio.Semaphore

    async def acquire(self) -> None:
        """Wait for a place. Who waits for one of the host takes none of the others'."""
        await self._host.acquire()
        try:
            await self._all.acquire()
        except BaseException:
            self._host.release()
            raise

    def release(self) -> None:
        """Give a place back, from whichever task."""
        self._all.release()
        self._host.release()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.release()


class PlacesByHost:
    """All the places.

    Args:
        total: how many there are.
        per_host: how many of them one host may have.
    """

    def __init__(self, total: int, per_host: int) -> None:
        self._all: Final = trio.Semaphore(total)
        self._per_host = per_host
        self._hosts: WeakValueDictionary[str, Places] = WeakValueDictionary()

    def of(self, host: str) -> Places:
        """Those of a host, the same ones as long as somebody keeps them."""
        places = self._hosts.get(host)
        if places is None:
            places = Places(trio.Semaphore(self._per_host), self._all)
            self._hosts[host] = places
        return places
