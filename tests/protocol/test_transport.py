"""Addresses of slot sockets, bound and connected for real."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from protocol.limits import SOCKET_PATH_MAX
from protocol.transport import AbstractSockets, NamedSockets, Transport, fits_named

if TYPE_CHECKING:
    from pathlib import Path


def test_named_addresses() -> None:
    transport = NamedSockets("/run/coglet", 2)
    assert [transport.address(index) for index in range(2)] == [
        "/run/coglet/slot-0.sock",
        "/run/coglet/slot-1.sock",
    ]


def test_abstract_addresses_have_no_nul_at_their_end() -> None:
    transport = AbstractSockets("coglet-123", 2)
    assert [transport.address(index) for index in range(2)] == ["\0coglet-123-0", "\0coglet-123-1"]


@pytest.mark.parametrize("kind", ["named", "abstract"])
def test_a_bound_address_can_be_connected(kind: str, tmp_path: Path) -> None:
    transport: Transport = AbstractSockets(f"coglet-test-{tmp_path}", 12)
    if kind == "named":
        transport = NamedSockets(str(tmp_path), 12)
    for index in range(12):
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(transport.address(index))
            listener.listen(1)
            client.connect(transport.address(index))
            assert client.getpeername() in (
                transport.address(index),
                transport.address(index).encode(),
            )


@pytest.mark.parametrize("slots", [1, 10, 11, 101])
def test_what_fits_can_be_bound_and_what_does_not_cannot(slots: int, tmp_path: Path) -> None:
    name = f"/slot-{slots - 1}.sock"
    room = SOCKET_PATH_MAX - len(name) - len(str(tmp_path)) - 1
    if room < 1:
        pytest.fail(f"the folder for tests is too deep: {tmp_path}")
    for length, fits in ((room, True), (room + 1, False)):
        folder = tmp_path / ("d" * length)
        folder.mkdir()
        assert fits_named(str(folder), slots) is fits
        with socket.socket(socket.AF_UNIX) as listener:
            if fits:
                listener.bind(NamedSockets(str(folder), slots).address(slots - 1))
            else:
                with pytest.raises(OSError, match="too long"):
                    listener.bind(NamedSockets(str(folder), slots).address(slots - 1))


def test_bytes_count_not_characters() -> None:
    folder = "/" + "é" * 47  # 95 bytes, and "/slot-0.sock" has 12
    assert fits_named(folder, 1)
    assert not fits_named(folder + "é", 1)
