"""Whose log it is, and what one message holds: without a process."""

from __future__ import annotations

import contextvars
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import Dialect, encode_slot_response
from protocol.limits import FRAME_MAX, LOG_MAX, LOG_TRUNCATED_NOTICE
from protocol.messages import LogLine, LogSource
from worker.channel import FrameWriter
from worker.control import Control
from worker.later import Later
from worker.logs import LogRouter
from worker.sink import LogSink, messages_of
from worker.slot import Slot

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

OUT, ERR = LogSource.STDOUT, LogSource.STDERR


class Sent:
    """A sink and what it has sent."""

    def __init__(self) -> None:
        self.texts: list[tuple[LogSource, str]] = []
        self.sink = LogSink(FrameWriter(lambda data: len(data), Later()), self._frame)

    def _frame(self, source: LogSource, text: str) -> bytes:
        self.texts.append((source, text))
        return b"frame"

    @property
    def all(self) -> str:
        return "".join(text for _, text in self.texts)


@given(st.lists(st.text(alphabet="ab\né\U0001f600")))
def test_nothing_is_lost_or_reordered(pieces: list[str]) -> None:
    sent = Sent()
    for piece in pieces:
        sent.sink.write(OUT, piece)
        assert all("\n" in text for _, text in sent.texts)
    sent.sink.close()
    assert sent.all == "".join(pieces)


@given(st.binary(), st.randoms(use_true_random=False))
def test_bytes_are_decoded_across_pieces(data: bytes, rng: random.Random) -> None:
    sent = Sent()
    rest = data = data.replace(b"\r", b"")
    while rest:
        cut = rng.randint(1, len(rest))
        sent.sink.write(OUT, sent.sink.decode(OUT, rest[:cut]))
        rest = rest[cut:]
    sent.sink.close()
    assert sent.all == data.decode("utf-8", "replace")


def test_a_flush_sends_the_own_line_only() -> None:
    sent = Sent()
    thread = threading.Thread(target=sent.sink.write, args=(OUT, "theirs"))
    thread.start()
    thread.join()
    sent.sink.write(OUT, "ours")
    sent.sink.write(ERR, "error")
    sent.sink.flush(OUT)
    assert sent.texts == [(OUT, "ours")]
    sent.sink.close()
    assert sorted(text for _, text in sent.texts) == ["error", "ours", "theirs"]


def test_a_closed_sink_takes_nothing() -> None:
    sent = Sent()
    sent.sink.close()
    assert not sent.sink.write(OUT, "late\n")
    assert not sent.sink.write_captured(b"late\n")
    assert sent.texts == []


def test_a_line_without_an_end_does_not_grow_for_ever() -> None:
    sent = Sent()
    for _ in range(100_000):
        sent.sink.write(OUT, "x")
    assert len(sent.all) > 50_000


@pytest.mark.parametrize("character", ["x", "é", "\x01", "\U0001f600", "\ud800"])
@pytest.mark.parametrize("ending", ["", "\n"])
def test_every_message_fits(character: str, ending: str) -> None:
    text = character * 3_000_000 + ending
    messages = list(messages_of(text))
    for message in messages:
        assert len(encode_slot_response(LogLine(OUT, message))) <= FRAME_MAX
        assert len(message.encode()) <= LOG_MAX
    joined = "".join(messages)
    expected = text.replace("\ud800", "?")
    if len(expected.encode()) > LOG_MAX + len(ending):
        assert joined.endswith(LOG_TRUNCATED_NOTICE + ending)
    else:
        assert joined == expected


def test_the_context_decides_then_the_only_slot() -> None:
    nobody, sole, mine = Sent(), Sent(), Sent()
    router = LogRouter(nobody.sink)
    router.write(OUT, "1\n")
    router.set_sole(sole.sink)
    router.write(OUT, "2\n")
    context = contextvars.copy_context()
    context.run(router.set_current, mine.sink)
    context.run(router.write, OUT, "3\n")
    router.write(OUT, "4\n")
    mine.sink.close()
    context.run(router.write, OUT, "5\n")  # not the neighbour's
    context.run(router.flush, OUT)
    router.set_sole(None)
    router.write(OUT, "6\n")
    for each in (nobody, sole):
        each.sink.flush_all()
    assert (nobody.all, sole.all, mine.all) == ("1\n5\n6\n", "2\n4\n", "3\n")


def test_plain_writes_go_to_the_descriptors(capfd: pytest.CaptureFixture[str]) -> None:
    nobody = Sent()
    router = LogRouter(nobody.sink)
    router.go_plain()
    router.write(OUT, "begun, ")
    router.write(OUT, "ended\nand begun")
    router.write(ERR, "error\n")
    assert router.plain is not None
    router.plain.write_bytes(OUT, b" bytes ")
    router.flush(OUT)
    assert capfd.readouterr() == ("begun, ended\nand begun bytes ", "error\n")
    assert nobody.texts == []


def test_a_writer_may_be_entered_again() -> None:
    """As a signal handler does that prints while a frame is being written."""
    written = bytearray()

    def write(data: memoryview) -> int:
        if not written:
            written.extend(data[:1])
            writer.send(b"BB")
            return 1
        written.extend(data)
        return len(data)

    writer = FrameWriter(write, Later())
    writer.send(b"AA")
    assert bytes(written) == b"AABB"


def test_a_writer_whose_peer_is_gone_is_silent() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    writer = FrameWriter(lambda data: os.write(write_end, data), Later())
    writer.send(b"frame")
    writer.send(b"frame")
    assert isinstance(writer.broken, BrokenPipeError)
    os.close(write_end)


def test_a_frame_that_was_left_half_written_breaks_the_channel() -> None:
    calls = []

    def write(data: memoryview) -> int:
        calls.append(bytes(data))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return 1

    writer = FrameWriter(write, Later())
    with pytest.raises(KeyboardInterrupt):
        writer.send(b"frame")
    writer.send(b"next")
    assert len(calls) == 2
    assert isinstance(writer.broken, KeyboardInterrupt)


def test_whoever_prints_waits_for_a_supervisor_that_does_not_read() -> None:
    entered, reads = threading.Event(), threading.Event()
    printed = []

    def write(data: memoryview) -> int:
        entered.set()
        reads.wait(30)
        return len(data)

    sink = LogSink(FrameWriter(write, Later()), lambda _, text: text.encode())

    def flood() -> None:
        for number in range(1000):
            sink.write(OUT, "x" * 1000 + "\n")
            printed.append(number)

    thread = threading.Thread(target=flood)
    thread.start()
    assert entered.wait(30)
    assert printed == []
    reads.set()
    thread.join()
    assert len(printed) == 1000


def test_what_waits_goes_out_before_what_is_sent() -> None:
    written = bytearray()

    def write(data: memoryview) -> int:
        written.extend(data)
        return len(data)

    writer = FrameWriter(write, Later())
    sink = LogSink(writer, lambda _, text: text.encode())
    for number in range(100):
        sink.write((OUT, ERR)[number % 2], f"{number}\n")
    writer.send(b"end")
    lines = "".join(f"{number}\n" for number in range(100))
    assert bytes(written) == f"{lines}end".encode()


def test_what_waits_goes_out_soon_by_itself() -> None:
    written, all_written = bytearray(), threading.Event()

    def write(data: memoryview) -> int:
        written.extend(data)
        if written.endswith(b"99\n"):
            all_written.set()
        return len(data)

    sink = LogSink(FrameWriter(write, Later()), lambda _, text: text.encode())
    for number in range(100):
        sink.write(OUT, f"{number}\n")
    assert all_written.wait(30)


def test_what_was_captured_does_not_wait() -> None:
    """Also in a flood: what C code says last is why it ends the process."""
    written = bytearray()

    def write(data: memoryview) -> int:
        written.extend(data)
        return len(data)

    sink = LogSink(FrameWriter(write, Later()), lambda _, text: text.encode())
    for number in range(100):
        sink.write(OUT, f"{number}\n")
    sink.write_captured(b"free(): invalid pointer\n")
    assert written.endswith(b"\n99\nfree(): invalid pointer\n")


def test_a_broken_channel_keeps_nothing() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    made = []

    def frame(_: LogSource, text: str) -> bytes:
        made.append(len(text))
        return b"frame"

    writer = FrameWriter(lambda data: os.write(write_end, data), Later())
    sink = LogSink(writer, frame)
    for _ in range(1000):
        sink.write(OUT, "x" * 1000 + "\n")
    sink.close()
    assert writer.broken is not None
    assert sum(made) < 20_000
    os.close(write_end)


def test_a_slot_that_nobody_reads_holds_up_no_other() -> None:
    """What waits in a flood is written by a thread that waits for no other slot's peer."""
    control = Control(-1, -1)
    pairs = [socket.socketpair() for _ in range(2)]
    slots = [Slot(f"s{n}", ours, control, Dialect.V0_20) for n, (ours, _) in enumerate(pairs)]
    stuck = threading.Event()

    def big() -> bytes:
        stuck.set()
        return bytes(50_000_000)

    def flood(slot: Slot, last: Callable[[], bytes]) -> None:
        for _ in range(100):
            slot.writer.postpone(lambda: b"-")
        slot.writer.postpone(last)

    # Should it be so slow that nothing has to wait, it is this thread that is stuck.
    thread = threading.Thread(target=flood, args=(slots[0], big))
    thread.start()
    assert stuck.wait(30)
    flood(slots[1], lambda: b"end")
    pairs[1][1].settimeout(30)
    read = b""
    while not read.endswith(b"end"):
        read += pairs[1][1].recv(1000)
    assert read == b"-" * 100 + b"end"
    for ours, theirs in pairs:
        theirs.close()  # which also ends the writing
        thread.join()
        ours.close()
