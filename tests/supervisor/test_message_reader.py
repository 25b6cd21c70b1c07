"""Messages out of a stream, however its bytes are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import memory_stream_one_way_pair

from protocol import messages as m
from protocol.codec import decode_slot_response, encode_slot_response
from protocol.errors import FrameTooLarge, FrameTruncated, NotJson, UnexpectedMessage
from protocol.framing import encode_frame
from supervisor.message_reader import MessageReader, discard
from supervisor.telemetry import Telemetry
from tests.supervisor.process_table import PATIENCE

if TYPE_CHECKING:
    from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock

MESSAGES = [
    m.ProtocolVersion(1),
    m.LogLine(m.LogSource.STDOUT, "ä\n"),
    m.OutputChunk({"a": [1, None]}, 0),
    m.Done("p1", 0.5),
]
FRAMES = [bytes(encode_slot_response(message)) for message in MESSAGES]


def reading() -> tuple[MessageReader[m.SlotResponse], MemorySendStream, MemoryReceiveStream]:
    send, receive = memory_stream_one_way_pair()
    return MessageReader(receive, "slot 3", decode_slot_response, Telemetry()), send, receive


async def read_all(reader: MessageReader[m.SlotResponse]) -> list[m.SlotResponse]:
    messages = []
    with trio.fail_after(PATIENCE):
        while (message := await reader.next()) is not None:
            messages.append(message)
    return messages


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 100_000])
async def test_the_messages_do_not_depend_on_how_the_bytes_are_cut(size: int) -> None:
    reader, send, _ = reading()
    data = b"".join(FRAMES)
    for start in range(0, len(data), size):
        await send.send_all(data[start : start + size])
    await send.aclose()
    assert await read_all(reader) == MESSAGES


async def test_a_message_is_had_as_soon_as_its_last_byte_came(autojump_clock: MockClock) -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[0] + FRAMES[1][:-1])
    assert await reader.next() == MESSAGES[0]
    with trio.move_on_after(1) as incomplete:
        await reader.next()
    assert incomplete.cancelled_caught
    await send.send_all(FRAMES[1][-1:])
    assert await reader.next() == MESSAGES[1], "being cancelled has lost nothing"


async def test_the_end_is_none_for_ever() -> None:
    reader, send, _ = reading()
    await send.aclose()
    assert await reader.next() is None
    assert await reader.next() is None


async def test_a_reset_is_an_end() -> None:
    reader = MessageReader(BrokenStream(), "slot 3", decode_slot_response, Telemetry())
    assert await reader.next() is None
    assert await reader.next() is None


class BrokenStream(trio.abc.ReceiveStream):
    """A socket whose peer died with unread data."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        raise trio.BrokenResourceError

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("missing", [1, 3, 10])
async def test_an_end_within_a_frame(missing: int) -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[0] + FRAMES[1][:-missing])
    await send.aclose()
    assert await reader.next() == MESSAGES[0]
    with pytest.raises(FrameTruncated) as caught:
        await reader.next()
    assert str(caught.value).startswith(f"slot 3, frame at byte {len(FRAMES[0])}: ")


async def test_the_messages_before_a_broken_frame_are_read_and_nothing_after_it() -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[0] + FRAMES[1] + b"\x7f\xff\xff\xff" + FRAMES[2])
    assert [await reader.next(), await reader.next()] == MESSAGES[:2]
    for _ in range(2):
        with pytest.raises(FrameTooLarge) as caught:
            await reader.next()
        where = len(FRAMES[0] + FRAMES[1])
        assert str(caught.value).startswith(f"slot 3, frame at byte {where}: ")


async def test_a_frame_that_is_no_message_says_where_it_was() -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[3] + encode_frame(b"{nope"))
    assert await reader.next() == MESSAGES[3]
    with pytest.raises(NotJson, match=f"slot 3, frame at byte {len(FRAMES[3])}: "):
        await reader.next()


async def test_what_a_reader_of_messages_finds_wrong_gets_their_place() -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[0] + FRAMES[1] + FRAMES[2])
    await reader.next()
    await reader.next()
    error = reader.located(UnexpectedMessage("not now"))
    assert str(error) == f"slot 3, frame at byte {len(FRAMES[0])}: not now"


async def test_the_size_is_that_of_the_last_message() -> None:
    reader, send, _ = reading()
    await send.send_all(FRAMES[0] + FRAMES[2])
    for frame in (FRAMES[0], FRAMES[2]):
        await reader.next()
        assert reader.frame_size == len(frame) - 4


async def test_unknown_messages_are_skipped_and_each_type_is_said_once() -> None:
    reader, send, _ = reading()
    with capture_logs() as logs:
        for name in ("x", "y", "x"):
            await send.send_all(encode_frame(f'{{"type":"{name}"}}'.encode()))
        await send.send_all(FRAMES[0])
        assert await reader.next() == MESSAGES[0]
    assert [(entry["channel"], entry["type"]) for entry in logs] == [
        ("slot 3", "x"),
        ("slot 3", "y"),
    ]


async def test_a_worker_that_makes_up_types_does_not_fill_the_log() -> None:
    reader, send, _ = reading()
    with capture_logs() as logs:
        for number in range(300):
            await send.send_all(encode_frame(f'{{"type":"{number}{"x" * 500}"}}'.encode()))
        await send.send_all(FRAMES[0])
        assert await reader.next() == MESSAGES[0]
    assert len(logs) == 100
    assert max(len(entry["type"]) for entry in logs) == 100


async def test_discarding_reads_until_the_end() -> None:
    send, receive = memory_stream_one_way_pair()
    await send.send_all(b"x" * 1_000_000)
    await send.aclose()
    with trio.fail_after(PATIENCE):
        await discard(receive)
        assert await receive.receive_some() == b""
        await discard(BrokenStream())
