"""The logs of one prediction or set-up, bounded: the first half and the last, a notice between."""

from __future__ import annotations

from collections import deque

__all__ = ["BoundedText"]


class BoundedText:
    """Text that is only ever appended to, and keeps at most about `limit` bytes of UTF-8.

    Args:
        limit: bytes. Up to half of it, whole messages are kept from the beginning; what follows
            is kept from the end.
    """

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head: list[str] = []
        self._head_size = 0
        self._tail: deque[tuple[str, int]] = deque()
        self._tail_size = 0
        self._dropped = 0

    def append(self, text: str) -> None:
        """Add `text` at the end."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if not self._tail and self._head_size + size <= self._half:
            self._head.append(text)
            self._head_size += size
            return
        if size > self._half:
            kept = text.encode("utf-8", "replace")[size - self._half :].decode("utf-8", "ignore")
            self._dropped += size - self._half
            text, size = kept, self._half
        self._tail.append((text, size))
        self._tail_size += size
        while self._tail_size > self._half:
            _, gone = self._tail.popleft()
            self._tail_size -= gone
            self._dropped += gone

    def __str__(self) -> str:
        """The text as it can be shown."""
        head = "".join(self._head)
        if not self._tail:
            return head
        tail = "".join(text for text, _ in self._tail)
        if not self._dropped:
            return head + tail
        return f"{head}\n[**** {self._dropped} BYTES OF LOGS DROPPED (--max-logs) ****]\n{tail}"
