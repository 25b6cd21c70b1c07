"""The logs of one prediction or set-up, bounded: the first half and the last, a notice between."""

from __future__ import annotations

__all__ = ["BoundedText"]


class BoundedText:
    """Text that is only ever appended to, and keeps at most `limit` bytes of UTF-8.

    Bytes are what is kept, in two pieces: a model that prints a character at a time must not cost
    an object each. Characters that are cut in two are taken off when the text is shown.

    Args:
        limit: bytes. The first half of it is kept from the beginning, the other from the end.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return len(self._head) + len(self._tail)

    def append(self, text: str) -> None:
        """Add `text` at the end."""
        data = memoryview(text.encode("utf-8", "replace"))
        room = self._half - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        excess = len(self._tail) - self._half
        if excess > 0:
            del self._tail[:excess]
            self._dropped += excess

    def __str__(self) -> str:
        """The text as it can be shown."""
        if not self._dropped:
            return (self._head + self._tail).decode()
        head = self._head.decode("utf-8", "ignore")
        tail = self._tail.decode("utf-8", "ignore")
        shown = len(head.encode()) + len(tail.encode())
        dropped = self._dropped + len(self._head) + len(self._tail) - shown
        return f"{head}\n[**** {dropped} BYTES OF LOGS DROPPED (--max-logs) ****]\n{tail}"
