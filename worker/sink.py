"""The log of one prediction, or of nobody: from pieces of text to messages on a channel.

What is written comes in pieces: `print` alone makes several of each line. A line that was begun
waits for its end; whole lines gather and go out many at a time, in the order of their ends. They go
out before anything else that is sent on their channel, and some milliseconds later at most; at once
where they do not come in a flood.

Whoever prints does so from any thread, and may be interrupted in any of our lines by a signal
handler or a finaliser that prints too. So a text lies at each moment in exactly one place, and is
taken from there in one step of the interpreter.
"""

from __future__ import annotations

import codecs
from _thread import get_ident
from collections import defaultdict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from protocol.log_text import cut_log
from protocol.messages import LogSource
from worker.redraw import drawing, last_drawing, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.channel import FrameWriter

__all__ = ["BEGUN_MAX", "LogSink", "messages_of"]

BEGUN_MAX: Final = 16 * 1024
"""Characters of a line that waits for its end; a longer one goes out in pieces."""

_GATHERED_MAX: Final = 16 * 1024
"""Characters of whole lines that wait to go out together."""

_MESSAGE_MAX: Final = 1024 * 1024
"""Characters in one message. JSON writes at most six bytes for one, and a frame holds 8 MiB."""

_SHOW_EVERY: Final = 1.0
"""Seconds between two states of a line that is drawn again and again."""

_STDOUT: Final = LogSource.STDOUT
_STDERR: Final = LogSource.STDERR

_CAPTURED: Final = 0
"""Stands for a thread, where nobody knows who has written."""


def messages_of(text: str) -> Iterator[str]:
    """Cut `text` into what one message may hold: lines at most 4 MiB, messages fit for a frame."""
    if len(text) <= _MESSAGE_MAX:
        yield cut_log(text)
        return
    lines = text.split("\n")
    if max(map(len, lines)) > _MESSAGE_MAX:
        text = "\n".join(map(cut_log, lines))
    for start in range(0, len(text), _MESSAGE_MAX):
        yield cut_log(text[start : start + _MESSAGE_MAX])


class LogSink:
    """The log of one prediction, or of nobody.

    A line that was begun waits for its end, for a flush, for something that its thread writes
    elsewhere, or for the end of the sink. A line that a carriage return sends back to its start (a
    progress bar) waits for its end only: what then stands there is logged. While it is being drawn,
    its present state is logged as a line of its own, once a second at most.
    """

    def __init__(
        self, writer: FrameWriter, frame: Callable[[LogSource, str], bytes | bytearray]
    ) -> None:
        """`frame` makes the message of a piece of text; `writer` sends it."""
        self._writer = writer
        self._frame = frame
        # By thread: `print` writes the end of its line by itself, and lines would get mixed.
        self.begun: Final = (defaultdict[int, str](str), defaultdict[int, str](str))
        """The line that each thread has begun, on stdout and on stderr. `LogStream` adds to it."""
        self.closed = False
        self._gathered: list[tuple[LogSource, str]] = []
        self._size = 0
        self._postponed = False
        self._batches = 0
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._shown: dict[tuple[LogSource, int], str] = {}
        self._to_show: set[tuple[LogSource, int]] = set()

    @property
    def turn(self) -> object:
        """Is another one as soon as something was logged."""
        return self._batches, len(self._gathered)

    def write(self, source: LogSource, text: str) -> bool:
        """Take `text`. False: the sink is closed, and it was not taken."""
        with self._writer.lock:
            if self.closed:
                return False
            begun = self.begun[source is _STDERR]
            thread = get_ident()
            if thread in begun:
                text = begun.pop(thread, "") + text
            if text[-1:] == "\n" and "\r" not in text:
                self._gather(source, text)
            else:
                self._take(source, thread, text, wait=True)
            return True

    def write_captured(self, data: bytes) -> bool:
        """Take what was read from fd 1 and 2, which do not say which. It waits for nothing."""
        with self._writer.lock:
            if not self.closed:
                text = self.begun[0].pop(_CAPTURED, "") + self._decode("captured", data)
                self._take(_STDOUT, _CAPTURED, text, wait=False)
                # Many lines at a time already; and C code says last why it ends the process.
                self._writer.send_postponed()
                return True
            return False

    def decode(self, source: LogSource, data: bytes) -> str:
        """The text of what was written to the binary side of a stream, as far as it is whole."""
        with self._writer.lock:
            return self._decode(source.value, data)

    def flush(self, source: LogSource) -> None:
        """Send the line that the calling thread has begun, and all that waits."""
        self.settle(get_ident(), source)
        self._writer.send_postponed()

    def settle(self, thread: int, source: LogSource) -> None:
        """The line that `thread` has begun has its place before what is logged next."""
        begun = self.begun[source is _STDERR]
        if begun and "\r" not in begun.get(thread, "\r"):
            with self._writer.lock:
                self._gather(source, begun.pop(thread, ""))

    def settle_all(self) -> None:
        """As `settle`, of every line that was begun, by whatever thread."""
        for source in LogSource:
            for thread in list(self.begun[source is _STDERR]):
                self.settle(thread, source)

    def reclaim(self, source: LogSource) -> str:
        """Take back the line that the calling thread has begun: the sink was closed meanwhile."""
        return self.begun[source is _STDERR].pop(get_ident(), "")

    def flush_all(self) -> None:
        """Send all that waits, also lines that were begun."""
        with self._writer.lock:
            for source in LogSource:
                begun = self.begun[source is _STDERR]
                for thread in list(begun):
                    self._gather(source, self._settled(source, thread, begun.pop(thread, "")))
            self._writer.send_postponed()

    def close(self) -> None:
        """Send all that waits; take nothing more."""
        with self._writer.lock:
            for name, decoder in self._decoders.items():
                source = LogSource.STDERR if name == "stderr" else LogSource.STDOUT
                self.write(source, decoder.decode(b"", final=True))
            # In this order: who adds to a line looks afterwards whether the sink is closed.
            self.closed = True
            self.flush_all()

    def _decode(self, name: str, data: bytes) -> str:
        decoder = self._decoders.get(name)
        if decoder is None:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            self._decoders[name] = decoder
        return decoder.decode(data)

    def _take(self, source: LogSource, thread: int, text: str, *, wait: bool) -> None:
        """Log whole lines. The rest waits, if `wait`; and always if it is drawn upon."""
        cut = text.rfind("\n") + 1
        if "\r" in text:
            whole = self._settled_lines(source, thread, text[:cut])
            rest = last_drawing(text[cut:])
        else:
            whole, rest = text[:cut], text[cut:]
        self._gather(source, whole)
        is_drawn = "\r" in rest
        if len(rest) > BEGUN_MAX or not (wait or is_drawn):
            self._gather(source, rest)
        elif rest:
            self.begun[source is _STDERR][thread] += rest
            if is_drawn and (source, thread) not in self._to_show:
                self._to_show.add((source, thread))
                self._writer.later.call(_SHOW_EVERY, lambda: self._show(source, thread))

    def _settled(self, source: LogSource, thread: int, line: str) -> str:
        """What is left of a line that will not be ended; nothing, if it has been shown so."""
        left = settled(line)
        return "" if left == self._shown.pop((source, thread), None) else left

    def _settled_lines(self, source: LogSource, thread: int, text: str) -> str:
        """What is left of whole lines; `thread` had begun the first."""
        if not text:
            return ""
        shown = self._shown.pop((source, thread), None)
        lines = [settled(line) for line in text.split("\n")]
        return "\n".join(lines[1:] if lines[0] == shown else lines)

    def _show(self, source: LogSource, thread: int) -> None:
        """Log the present state of a line that is being drawn."""
        key = source, thread
        with self._writer.lock:
            self._to_show.discard(key)
            line = self.begun[source is _STDERR].get(thread, "")
            state = drawing(line) if "\r" in line else ""
            if state and state != self._shown.get(key):
                self._shown[key] = state
                self._gather(source, state + "\n")

    def _gather(self, source: LogSource, text: str) -> None:
        if not text:
            return
        item = source, text
        self._gathered.append(item)
        self._size += len(text)
        if not self._postponed:
            self._postponed = True
            self._writer.postpone(self._frames)
        if self._size > _GATHERED_MAX:
            self._writer.send_postponed()
            if self._writer.broken is not None:
                self._gathered.clear()
                self._size = 0

    def _frames(self) -> bytearray:
        """The messages of all that has gathered."""
        self._postponed = False
        self._size = 0
        self._batches += 1
        fresh: list[tuple[LogSource, str]] = []
        gathered, self._gathered = self._gathered, fresh
        frames = bytearray()
        for source, pieces in groupby(gathered, itemgetter(0)):
            for message in messages_of("".join([text for _, text in pieces])):
                frames += self._frame(source, message)
        return frames
