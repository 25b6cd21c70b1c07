"""Outputs in files: what becomes of them, and what is refused without being touched."""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest
import trio

from protocol.messages import FileKind, FileOutput
from protocol.spill import write_spill
from supervisor.outputs import OutputUnreadable, collect_file
from tests.open_files import open_files

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1_000_000


async def collect(
    path: Path | str,
    folder: Path,
    *,
    kind: FileKind = FileKind.FILE,
    mime_type: str | None = None,
    anywhere: bool = False,
    limit: int = MEGABYTE,
) -> tuple[Any, int]:
    """The value, within seconds whatever the file is."""
    message = FileOutput(str(path), kind, mime_type)
    with trio.fail_after(30):
        return await collect_file(message, output_dir=str(folder), anywhere=anywhere, limit=limit)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prediction's output folder."""
    path = tmp_path / "outputs"
    path.mkdir()
    return path


# --- files of the model -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mime_type", "expected"),
    [
        ("a.png", None, "image/png"),
        ("a.txt", None, "text/plain"),
        ("a.nobody-knows", None, "application/octet-stream"),
        ("a", None, "application/octet-stream"),
        ("a.png", "image/webp", "image/webp"),
    ],
)
async def test_a_file_becomes_a_data_url(
    folder: Path, name: str, mime_type: str | None, expected: str
) -> None:
    path = folder / name
    data = bytes(range(256))
    path.write_bytes(data)
    value, size = await collect(path, folder, mime_type=mime_type)
    prefix, _, encoded = value.partition(",")
    assert prefix == f"data:{expected};base64"
    assert base64.b64decode(encoded) == data
    assert size == len(value) + 2, "as JSON, with its quotes"


async def test_an_empty_file(folder: Path) -> None:
    (folder / "a.txt").touch()
    assert (await collect(folder / "a.txt", folder))[0] == "data:text/plain;base64,"


async def test_a_file_in_a_subfolder_and_one_behind_a_link_that_stays_inside(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_text("hi")
    (folder / "link.txt").symlink_to("sub/a.txt")
    for name in ("sub/a.txt", "link.txt", "sub/../sub/a.txt"):
        assert (await collect(folder / name, folder))[0] == "data:text/plain;base64,aGk="


async def test_an_output_folder_that_is_itself_reached_by_a_link(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "a.txt").write_text("hi")
    (tmp_path / "alias").symlink_to(folder)
    value, _ = await collect(tmp_path / "alias" / "a.txt", tmp_path / "alias")
    assert value == "data:text/plain;base64,aGk="


@pytest.mark.parametrize(
    "name",
    ["../secret.txt", "sub/../../secret.txt", "link.txt", "link/secret.txt", "../outputs2/a.txt"],
)
async def test_what_lies_outside_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "outputs2").mkdir()
    (tmp_path / "outputs2" / "a.txt").write_text("of another prediction")
    (folder / "sub").mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "link").symlink_to(tmp_path)
    path = f"{folder}/{name}"
    with pytest.raises(OutputUnreadable) as caught:
        await collect(path, folder)
    assert str(caught.value) == f"Output file {path!r} lies outside the prediction's folder"


async def test_the_folder_itself_is_no_file(folder: Path) -> None:
    with pytest.raises(OutputUnreadable, match="lies outside"):
        await collect(folder, folder)


async def test_a_foreign_workers_file_may_lie_anywhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("hi")
    value, _ = await collect(tmp_path / "out.txt", folder, anywhere=True)
    assert value == "data:text/plain;base64,aGk="


@pytest.mark.parametrize("anywhere", [False, True])
@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "nul", "loop", "long", "socket"])
async def test_what_is_no_file_is_refused_at_once_and_leaks_nothing(
    folder: Path, tmp_path: Path, kind: str, anywhere: bool
) -> None:
    path = folder / "out.png"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "nul":
            path = folder / "out\0.png"
        case "loop":
            path.symlink_to(path)
        case "long":
            path = folder / ("x" * 5000)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(OutputUnreadable) as caught:
        await collect(path, folder, anywhere=anywhere)
    assert repr(str(path)) in str(caught.value)
    assert open_files(tmp_path) == []


async def test_a_device_of_a_foreign_worker_is_not_read(folder: Path) -> None:
    with pytest.raises(OutputUnreadable, match="cannot be read: not a regular file"):
        await collect("/dev/zero", folder, anywhere=True)


async def test_a_file_larger_than_the_limit_is_not_read(folder: Path) -> None:
    path = folder / "huge.bin"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(OutputUnreadable) as caught:
        await collect(path, folder, limit=1000)
    assert (
        str(caught.value) == f"Output file {str(path)!r} is larger than 1000 bytes (--max-output)"
    )


# --- spilled values ---------------------------------------------------------------------------


async def spilled(path: Path | str, folder: Path, limit: int = MEGABYTE) -> tuple[Any, int]:
    return await collect(path, folder, kind=FileKind.OVERSIZED, limit=limit)


async def test_a_spilled_value_is_the_value_and_its_file_is_gone(folder: Path) -> None:
    payload = '{"b":1,"a":["ä",12345678901234567890123]}'.encode()
    path = write_spill(str(folder), payload)
    value, size = await spilled(path, folder)
    assert value == {"b": 1, "a": ["ä", 12345678901234567890123]}
    assert list(value) == ["b", "a"]
    assert size == len(payload)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("payload", [b"", b"{nope", b'"\xff"', b"[" * 100_000])
async def test_a_spilled_value_that_is_none(folder: Path, payload: bytes) -> None:
    path = write_spill(str(folder), payload)
    with pytest.raises(OutputUnreadable, match="Output cannot be read: "):
        await spilled(path, folder)


@pytest.mark.parametrize(
    "kind", ["outside", "subfolder", "link", "fifo", "directory", "missing", "nul"]
)
async def test_a_spill_file_lies_directly_in_the_folder_and_is_regular(
    folder: Path, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("1")
    path = folder / "spill.json"
    match kind:
        case "outside":
            path = secret
        case "subfolder":
            (folder / "sub").mkdir()
            path = folder / "sub" / "spill.json"
            path.write_text("1")
        case "link":
            path.symlink_to(secret)
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "nul":
            path = folder / "spill\0.json"
    with pytest.raises(OutputUnreadable, match="Output cannot be read: "):
        await spilled(path, folder)
    assert secret.read_text() == "1"
    assert open_files(tmp_path) == []


async def test_a_spill_file_larger_than_the_limit_is_not_read(folder: Path) -> None:
    path = folder / "spill.json"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(OutputUnreadable, match=r"larger than 1000 bytes \(--max-output\)"):
        await spilled(path, folder, limit=1000)


async def test_a_file_without_a_size_is_not_read(tmp_path: Path) -> None:
    message = FileOutput("/proc/self/environ", FileKind.FILE)
    with pytest.raises(OutputUnreadable, match="changed while it was read"):
        await collect_file(message, output_dir=str(tmp_path), anywhere=True, limit=10**6)
