"""Copying a file's content, between descriptors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.file_copy import copy_content


def copied(source: Path, target: Path, go_on: object = lambda: None) -> Path:
    with source.open("rb") as reading, target.open("wb") as writing:
        copy_content(reading.fileno(), writing.fileno(), go_on)  # type: ignore[arg-type]
    return target


@pytest.mark.parametrize("size", [0, 1, 70_000_001])
def test_the_content_is_the_same(tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes((os.urandom(1009) * (size // 1009 + 1))[:size])
    assert copied(source, tmp_path / "copy").read_bytes() == source.read_bytes()


def test_holes_stay_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        for position in (0, 40_000_000):
            file.seek(position)
            file.write(b"data")
        file.truncate(90_000_000)
    copy = copied(source, tmp_path / "copy")
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_blocks * 512 < 1_000_000


def test_a_file_without_a_size(tmp_path: Path) -> None:
    source = Path("/proc/self/cmdline")
    assert copied(source, tmp_path / "copy").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("names", [("copy_file_range",), ("copy_file_range", "sendfile")])
def test_where_the_kernel_does_not_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    def refuses(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    for name in names:
        monkeypatch.setattr(os, name, refuses)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2_500_000))
    assert copied(source, tmp_path / "copy").read_bytes() == source.read_bytes()


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    with (
        source.open("rb") as reading,
        Path("/dev/full").open("wb") as full,
        pytest.raises(OSError, match=r"No space left|Invalid argument"),
    ):
        copy_content(reading.fileno(), full.fileno(), lambda: None)


def test_it_ends_between_two_pieces(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    def stops() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(source, tmp_path / "copy", stops)
    assert (tmp_path / "copy").read_bytes() == b""
