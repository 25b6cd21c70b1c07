"""Listeners and connections, without a worker."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from protocol.limits import SOCKET_PATH_MAX
from protocol.transport import AbstractSockets, NamedSockets
from supervisor.sockets import Peer, SlotListeners
from tests.supervisor.process_table import PATIENCE, nothing_left

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp") as path, nothing_left(path):
        yield path


@pytest.fixture
def deep() -> Iterator[str]:
    """A folder whose socket paths are too long."""
    with tempfile.TemporaryDirectory(dir="/tmp", suffix="x" * 100) as path, nothing_left(path):
        yield path


@pytest.fixture(params=["", "x" * 100], ids=["named", "abstract"])
def either(request: pytest.FixtureRequest) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/tmp", suffix=request.param) as path, nothing_left(path):
        yield path


def everybody(_: Peer) -> bool:
    return True


def nobody(_: Peer) -> bool:
    return False


def connect(listeners: SlotListeners, index: int) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(listeners.transport.address(index))
    client.sendall(b"%d" % index)
    return client


def test_named_as_long_as_the_longest_path_fits(folder: str) -> None:
    """With 11 slots the longest path ends in `slot-10.sock`."""
    room = SOCKET_PATH_MAX - len(folder) - len("/") - len("/slot-10.sock")
    fitting = os.path.join(folder, "x" * room)
    too_deep = fitting + "x"
    for path, kind in (fitting, NamedSockets), (too_deep, AbstractSockets):
        os.mkdir(path)
        with SlotListeners(path, 11) as listeners:
            assert isinstance(listeners.transport, kind)
            assert listeners.transport.num_slots == 11
            assert len(os.listdir(path)) == (11 if kind is NamedSockets else 0)
        os.rmdir(path)


def test_abstract_names_cannot_be_guessed(deep: str) -> None:
    with SlotListeners(deep, 1) as one, SlotListeners(deep, 1) as other:
        for listeners in one, other:
            assert isinstance(listeners.transport, AbstractSockets)
            assert len(listeners.transport.prefix.rpartition("-")[2]) == 128 // 4
        assert one.transport != other.transport


def test_a_socket_file_that_somebody_has_removed(folder: str) -> None:
    with SlotListeners(folder, 1) as listeners:
        os.unlink(listeners.transport.address(0))
        assert os.listdir(folder) == []


def test_nothing_stays_open_when_a_socket_cannot_be_bound(folder: str) -> None:
    occupied = os.path.join(folder, "slot-2.sock")
    os.mkdir(occupied)
    with pytest.raises(OSError, match="in use"):
        SlotListeners(folder, 3)
    os.rmdir(occupied)


async def test_order_is_that_of_the_slots(either: str) -> None:
    with SlotListeners(either, 3) as listeners, trio.fail_after(PATIENCE):
        clients = [connect(listeners, index) for index in (2, 0, 1)]
        streams = await listeners.accept(everybody)
        assert [await stream.receive_some() for stream in streams] == [b"0", b"1", b"2"]
        with socket.socket(socket.AF_UNIX) as late, pytest.raises(OSError, match="refused"):
            late.connect(listeners.transport.address(0))
        for client in clients:
            client.close()


@pytest.mark.parametrize("num_slots", [1, 2])
async def test_connections_are_closed_with_the_listeners(folder: str, num_slots: int) -> None:
    """Also when not all that were expected have come."""
    with socket.socket(socket.AF_UNIX) as client, trio.fail_after(PATIENCE):
        with SlotListeners(folder, num_slots) as listeners:
            client.connect(listeners.transport.address(0))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listeners.accept, everybody)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        listeners.close()
        assert client.recv(1) == b""


async def test_strangers_are_closed_and_accept_goes_on(deep: str) -> None:
    answers = [False, False, True, False, True]
    peers = []

    def trusts(peer: Peer) -> bool:
        peers.append(peer)
        return answers[len(peers) - 1]

    with (
        SlotListeners(deep, 2) as listeners,
        trio.fail_after(PATIENCE),
        capture_logs() as logged,
    ):
        clients = [connect(listeners, index) for index in (0, 0, 0, 1, 1)]
        await listeners.accept(trusts)
        for client, trusted in zip(clients, answers, strict=True):
            client.setblocking(False)
            # The stranger's data was never read: its connection is reset.
            with pytest.raises(BlockingIOError if trusted else ConnectionResetError):
                client.recv(1)
            client.close()
    assert peers == [Peer(os.getpid(), os.getuid(), os.getgid())] * 5
    assert [entry["slot"] for entry in logged] == [0, 0, 1]


async def test_the_folder_protects_named_sockets(folder: str) -> None:
    with (
        SlotListeners(folder, 1) as listeners,
        connect(listeners, 0),
        trio.fail_after(PATIENCE),
    ):
        (stream,) = await listeners.accept(nobody)
        assert await stream.receive_some() == b"0"


async def test_accept_waits_for_free_descriptors(
    folder: str, autojump_clock: trio.testing.MockClock
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        SlotListeners(folder, 1) as listeners,
        connect(listeners, 0),
        capture_logs() as logged,
        trio.fail_after(PATIENCE),
    ):
        async with trio.open_nursery() as nursery:
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                nursery.start_soon(listeners.accept, everybody)
                await trio.sleep(0.25)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert [entry["event"] for entry in logged] == ["Cannot accept a slot's connection yet"] * 3
