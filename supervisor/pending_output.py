"""Items of an output that wait for files, and the places in them where the files belong."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

from attrs import define

from protocol.errors import UnexpectedMessage

__all__ = ["Item", "Place"]


@define(eq=False)
class Item:
    """One item of an output.

    Attributes:
        box: holds its value, so that a file that is all of it has a place like one in it.
        size: of its value as JSON in bytes, as far as that is there.
        missing: files that are still to be uploaded; null stands for each.
    """

    box: list[Any]
    size: int = 0
    missing: int = 0


class Place(NamedTuple):
    """Where in an item the URL of a file goes."""

    item: Item
    holder: Any
    key: Any

    @classmethod
    def of(cls, pointer: str, item: Item) -> Self:
        """What a JSON Pointer (RFC 6901) says of the item's value; empty: the whole of it.

        Raises:
            UnexpectedMessage: there is no null.
        """
        holder: Any = item.box
        key: Any = 0
        try:
            for step in pointer.split("/")[1:]:
                holder = holder[key]
                name = step.replace("~1", "/").replace("~0", "~")
                key = int(name) if isinstance(holder, list) else name
            if holder[key] is None:
                return cls(item, holder, key)
        except (LookupError, TypeError, ValueError):
            pass
        raise UnexpectedMessage(f"no place for a file at {pointer[:100]!r}")

    def fill(self, url: str) -> int:
        """Put in the URL; by how many bytes the item has grown."""
        self.holder[self.key] = url
        self.item.missing -= 1
        size = len(url) + 2
        self.item.size += size
        return size
