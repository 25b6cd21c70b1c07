"""The control channel: one writer, one reader, and its last message."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol import messages as m
from protocol.codec import decode_control_request, encode_control_response
from protocol.errors import UnexpectedMessage
from supervisor.control_channel import ControlChannel
from supervisor.telemetry import Telemetry
from tests.supervisor.fake_worker import WorkerSide

if TYPE_CHECKING:
    from trio.testing import MockClock

LAST = m.Shutdown(grace=1.0)


def channel() -> tuple[ControlChannel, WorkerSide]:
    side = WorkerSide(decode_control_request, encode_control_response)
    return ControlChannel(side.supervisor_end, Telemetry()), side


async def test_messages_are_written_in_order_and_nothing_after_the_last(
    autojump_clock: MockClock,
) -> None:
    control, worker = channel()
    messages = [m.Healthcheck(f"hc_{number}") for number in range(20)]
    for message in messages:
        control.send(message)
    control.send_last(LAST)
    control.send(m.Healthcheck("too late"))
    with trio.fail_after(1):
        await control.write()
    received = [await worker.receive() for _ in range(21)]
    assert received == [*messages, LAST]
    with trio.move_on_after(1) as nothing_more:
        await worker.receive()
    assert nothing_more.cancelled_caught


async def test_writing_ends_when_the_worker_reads_no_more(autojump_clock: MockClock) -> None:
    control, worker = channel()
    worker.break_writes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.write)
        await wait_all_tasks_blocked()
        control.send(m.Healthcheck("hc_1"))
    control.send(m.Healthcheck("hc_2"))
    control.send_last(LAST)


async def test_nobody_who_sends_waits_for_a_worker_that_does_not_read(
    autojump_clock: MockClock,
) -> None:
    control, worker = channel()
    worker.block_writes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.write)
        await wait_all_tasks_blocked()
        for number in range(100):
            control.send(m.Healthcheck(f"hc_{number}"))
        control.send_last(LAST)
        with trio.move_on_after(3600) as still_writing:
            await trio.sleep_forever()
        assert still_writing.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_every_message_is_handled_in_order_until_the_worker_closes(
    autojump_clock: MockClock,
) -> None:
    control, worker = channel()
    messages = [m.Idle("a"), m.Idle("b"), m.ShuttingDown()]
    handled: list[m.ControlResponse] = []
    await worker.say(*messages)
    worker.close()
    with trio.fail_after(1):
        await control.read(handled.append)
    assert handled == messages


async def test_what_the_handler_refuses_says_where_it_was(autojump_clock: MockClock) -> None:
    control, worker = channel()

    def refuse(message: m.ControlResponse) -> None:
        if isinstance(message, m.Idle):
            raise UnexpectedMessage("not now")

    await worker.say(m.ShuttingDown(), m.Idle("a"), m.ShuttingDown())
    before = len(encode_control_response(m.ShuttingDown()))
    with pytest.raises(UnexpectedMessage) as caught:
        await control.read(refuse)
    assert str(caught.value) == f"control channel, frame at byte {before}: not now"
