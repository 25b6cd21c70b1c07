"""Only regular files are opened, without a wait, and nothing is left open of the others."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from protocol.regular_file import NotRegularFile, open_regular
from tests.open_files import open_files

if TYPE_CHECKING:
    from pathlib import Path


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with open(tmp_path / "file", "rb", opener=open_regular) as file:
        assert file.read() == b"content"
        assert not os.get_inheritable(file.fileno())


def test_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(NotRegularFile) as caught:
        open_regular(str(path), os.O_RDONLY)
    assert str(caught.value) == f"{str(path)!r} is not a regular file"
    assert open_files(tmp_path) == []


def test_a_name_may_be_bytes() -> None:
    with pytest.raises(NotRegularFile, match="'/dev/null' is not a regular file"):
        open_regular(b"/dev/null", os.O_RDONLY)


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        open_regular(str(tmp_path), os.O_RDONLY)
    assert open_files(tmp_path) == []


def test_a_socket_is_an_error_of_the_system(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with pytest.raises(OSError, match="No such device or address"):
            open_regular(path, os.O_RDONLY)


def test_a_name_is_relative_to_the_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        descriptor = open_regular("file", os.O_RDONLY, dir_fd=folder)
    finally:
        os.close(folder)
    with open(descriptor, "rb") as file:
        assert file.read() == b"content"
