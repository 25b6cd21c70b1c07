"""The limits of one connection, on memory streams and a clock that jumps."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from supervisor.config import Times
from supervisor.http.client_stream import CHUNK, READ_AHEAD, ClientStream

TIMES = Times(header_timeout=15, body_timeout=30, write_timeout=20, idle_timeout=75)


class Far:
    """A client's end of a connection, and our end of it with its pump running."""

    def __init__(self, nursery: trio.Nursery, put_back: bytes = b"") -> None:
        self.stream, ours = trio.testing.memory_stream_pair()
        self.raw = ours
        self.client = ClientStream(ours, TIMES, put_back=put_back)
        nursery.start_soon(self.client.pump)

    async def read_rest(self) -> bytes:
        return b"".join([bytes(chunk) async for chunk in self.stream])


async def test_bytes_arrive_as_they_were_sent(nursery: trio.Nursery) -> None:
    far = Far(nursery)
    await far.stream.send_all(b"abc")
    assert await far.client.receive_some(2) == b"ab"
    assert await far.client.receive_some() == b"c"
    await far.stream.aclose()
    assert await far.client.receive_some() == b""


async def test_bytes_put_back_come_first(nursery: trio.Nursery) -> None:
    far = Far(nursery, put_back=b"GET / ")
    assert await far.client.receive_some() == b"GET / "
    await far.stream.send_all(b"HTTP/1.1")
    assert await far.client.receive_some() == b"HTTP/1.1"


async def test_a_silent_connection_ends_after_the_header_timeout(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    start = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await far.client.receive_some()
    assert trio.current_time() - start == 15
    await far.client.aclose()
    assert await far.read_rest() == b""


async def test_a_header_may_not_trickle(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    await trio.sleep(10)
    start = trio.current_time()

    async def trickle() -> None:
        for byte in b"GET / HTTP/1.1\r\nhost: x\r\nx: ":
            await far.stream.send_all(bytes([byte]))
            await trio.sleep(1)

    nursery.start_soon(trickle)

    async def read_all() -> None:
        while await far.client.receive_some():
            pass

    with pytest.raises(trio.BrokenResourceError):
        await read_all()
    assert trio.current_time() - start == 15
    await far.raw.aclose()
    assert (await far.read_rest()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")


async def test_a_body_that_stops_is_answered_with_408_and_its_request_cancelled(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        await trio.sleep(20)
        await far.stream.send_all(b"x" * CHUNK)  # a whole piece: the next one has its own time
        await far.client.receive_some()
        start = trio.current_time()
        await trio.sleep_forever()
    assert request.scope.cancelled_caught
    assert trio.current_time() - start == 30
    await far.raw.aclose()
    assert (await far.read_rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_body_may_not_trickle(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    start = trio.current_time()

    async def trickle() -> None:
        while True:
            await far.stream.send_all(b"x" * 100)
            await trio.sleep(1)

    with far.client.request() as request:
        nursery.start_soon(trickle)
        await trio.sleep_forever()
    assert request.scope.cancelled_caught
    assert trio.current_time() - start == 30
    nursery.cancel_scope.cancel()


async def test_a_slow_body_that_comes_on_is_waited_for(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    read = 0
    with far.client.request() as request:

        async def send() -> None:
            for _ in range(100):
                await far.stream.send_all(b"x" * (CHUNK // 2))
                await trio.sleep(14)

        nursery.start_soon(send)
        while read < 100 * (CHUNK // 2):
            read += len(await far.client.receive_some())
    assert not request.scope.cancelled_caught


async def test_the_time_in_which_we_do_not_read_a_body_is_not_the_clients(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        nursery.start_soon(far.stream.send_all, b"x" * (READ_AHEAD + 10))
        await trio.sleep(1000)
        assert len(await far.client.receive_some()) >= READ_AHEAD
        await trio.sleep(29)
    assert not request.scope.cancelled_caught


async def test_while_the_answer_is_pending_the_client_may_be_silent(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        request.body_complete()
        await trio.sleep(80_000)
    assert not request.scope.cancelled_caught


async def test_between_two_requests_the_idle_timeout_counts(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        request.body_complete()
        await trio.sleep(1000)
    start = trio.current_time()
    with pytest.raises(trio.BrokenResourceError):
        await far.client.receive_some()
    assert trio.current_time() - start == 75


async def test_a_header_that_came_with_the_request_before_it_has_its_time_from_then(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    start = trio.current_time()
    with far.client.request() as request:
        request.body_complete()
        await far.stream.send_all(b"GET / HT")
        assert await far.client.receive_some() == b"GET / HT"
        await trio.sleep(1000)
        far.client.header_begun()
        await trio.sleep(10)
        far.client.header_begun()  # with each further byte
    with pytest.raises(trio.BrokenResourceError):
        await far.client.receive_some()
    assert trio.current_time() == start + 1015
    await far.raw.aclose()
    assert (await far.read_rest()).startswith(b"HTTP/1.1 408 ")


async def test_the_clients_end_cancels_its_request_even_with_unread_bytes(
    nursery: trio.Nursery,
) -> None:
    far = Far(nursery)
    with trio.fail_after(5), far.client.request() as request:
        request.body_complete()
        await far.stream.send_all(b"GET /second HTTP/1.1\r\n")
        await far.stream.aclose()
        await trio.sleep_forever()
    assert request.scope.cancelled_caught


async def test_an_answer_that_has_begun_is_not_cancelled(nursery: trio.Nursery) -> None:
    far = Far(nursery)
    with trio.fail_after(5), far.client.request() as request:
        request.answer_begun()
        await far.stream.send_eof()
        assert await far.client.receive_some() == b""
        await far.client.send_all(b"the answer")
    assert not request.scope.cancelled_caught
    assert await far.stream.receive_some() == b"the answer"


async def test_a_request_that_begins_after_the_clients_end_is_cancelled(
    nursery: trio.Nursery,
) -> None:
    far = Far(nursery)
    await far.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    with far.client.request() as request:
        await trio.lowlevel.checkpoint()
    assert request.scope.cancelled_caught


async def test_what_is_read_ahead_is_bounded(nursery: trio.Nursery) -> None:
    far, ours = trio.testing.lockstep_stream_pair()
    client = ClientStream(ours, TIMES)
    nursery.start_soon(client.pump)
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await far.send_all(b"x" * 10_000)
            sent += 10_000

    nursery.start_soon(flood)
    await trio.testing.wait_all_tasks_blocked()
    assert READ_AHEAD <= sent <= 2 * READ_AHEAD
    assert len(await client.receive_some(50_000)) == 50_000
    await trio.testing.wait_all_tasks_blocked()
    assert sent <= 2 * READ_AHEAD + 50_000
    nursery.cancel_scope.cancel()


async def test_a_client_that_reads_slowly_is_served(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far, ours = trio.testing.lockstep_stream_pair()
    client = ClientStream(ours, TIMES)
    received = bytearray()

    async def read_slowly() -> None:
        while True:
            await trio.sleep(15)
            received.extend(await far.receive_some(64 * 1024))

    nursery.start_soon(read_slowly)
    start = trio.current_time()
    await client.send_all(b"y" * 300_000)
    assert trio.current_time() - start > 60
    assert received == b"y" * 300_000
    nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_read_is_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _far, ours = trio.testing.lockstep_stream_pair()
    client = ClientStream(ours, TIMES)
    start = trio.current_time()
    with pytest.raises(trio.BrokenResourceError), trio.CancelScope(shield=True):
        await client.send_all(b"y" * 300_000)
    assert trio.current_time() - start == 20
    with pytest.raises(trio.BrokenResourceError):
        await client.send_all(b"more")


async def test_the_end_of_the_server_cuts_a_shielded_send(
    autojump_clock: trio.testing.MockClock,
) -> None:
    _far, ours = trio.testing.lockstep_stream_pair()
    client = ClientStream(ours, TIMES)

    async def send() -> None:
        with pytest.raises(trio.BrokenResourceError), trio.CancelScope(shield=True):
            await client.send_all(b"y" * 300_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.pump)
        nursery.start_soon(send)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - start == 1


async def test_hypercorns_bare_errors_get_a_body_and_nothing_after(nursery: trio.Nursery) -> None:
    far = Far(nursery)
    await far.client.send_all(b"HTTP/1.1 431 \r\ncontent-length: 0\r\n\r\n")
    await far.client.send_all(b"more")
    await far.raw.send_eof()
    head, _, body = (await far.read_rest()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert body == b'{"detail":"Request Header Fields Too Large"}'


async def test_an_answer_of_ours_is_not_touched(nursery: trio.Nursery) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        request.answer_begun()
        await far.client.send_all(b"HTTP/1.1 404 \r\n\r\n")
    assert await far.stream.receive_some() == b"HTTP/1.1 404 \r\n\r\n"


async def test_closing_lingers_while_the_client_still_sends(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    with far.client.request() as request:
        request.answering = True  # answered before the body was read: 413
        start = trio.current_time()
        nursery.start_soon(far.stream.send_all, b"z" * 1_000_000)
        await far.client.aclose()
        assert trio.current_time() - start == 2
    assert await far.read_rest() == b""


async def test_closing_after_a_whole_request_is_at_once(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    far = Far(nursery)
    start = trio.current_time()
    with far.client.request() as request:
        request.body_complete()
        request.answer_begun()
        await far.client.aclose()
    assert trio.current_time() == start
