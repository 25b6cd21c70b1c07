"""Spill files: private, opened only in their folder, gone after reading."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.errors import SpillRefused
from protocol.spill import input_folder, read_spill, write_spill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "prediction" / "outputs"
    folder.mkdir(parents=True, mode=0o700)
    return folder


def test_what_was_written_is_read_once(folder: Path) -> None:
    path = write_spill(str(folder), b'{"a":1}')
    assert read_spill(str(folder), path) == b'{"a":1}'
    assert list(folder.iterdir()) == []
    with pytest.raises(SpillRefused, match="spill_"):
        read_spill(str(folder), path)


def test_a_large_payload_passes(folder: Path) -> None:
    payload = os.urandom(1 << 20) * 20
    assert read_spill(str(folder), write_spill(str(folder), payload)) == payload


def test_it_is_private_whatever_the_umask_says(folder: Path) -> None:
    before = os.umask(0)
    try:
        path = write_spill(str(folder), b"{}")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_names_look_like_coglets_and_differ(folder: Path) -> None:
    first, second = write_spill(str(folder), b""), write_spill(str(folder), b"")
    assert first != second
    for path in (first, second):
        name = Path(path).name
        assert Path(path).parent == folder
        assert name.startswith("spill_")
        assert name.endswith(".json")
        assert len(name) == len("spill_.json") + 36


def test_a_folder_that_is_missing_is_an_error_of_the_system(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_spill(str(folder / "missing"), b"{}")


def test_nothing_is_left_of_a_write_that_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = b"x" * 100_000
    import resource
    import signal

    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_spill(str(folder), payload)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert list(folder.iterdir()) == []


def test_the_folder_may_be_written_with_dots(folder: Path) -> None:
    path = write_spill(str(folder), b"{}")
    assert read_spill(f"{folder}/./", path) == b"{}"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "outputs/../../secret",
        "./../secret",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\0b",
    ],
)
def test_a_path_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    with pytest.raises(SpillRefused):
        read_spill(str(folder), os.path.join(folder, name))
    assert secret.read_bytes() == b"secret"


@pytest.mark.parametrize("path", ["spill_1.json", "", ".", "/", "\0", "~", "\udcff"])
def test_a_path_that_does_not_name_the_folder_is_refused(folder: Path, path: str) -> None:
    (folder / "spill_1.json").write_bytes(b"{}")
    with pytest.raises(SpillRefused):
        read_spill(str(folder), path)
    assert (folder / "spill_1.json").exists()


def test_a_link_is_not_followed(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"secret")
    link = folder / "spill_1.json"
    link.symlink_to(secret)
    with pytest.raises(SpillRefused):
        read_spill(str(folder), str(link))
    assert secret.read_bytes() == b"secret"


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "spill_1.json").write_bytes(b"secret")
    folder.rmdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(SpillRefused):
        read_spill(str(folder), str(folder / "spill_1.json"))
    assert (elsewhere / "spill_1.json").exists()


def test_a_fifo_neither_hangs_nor_passes(folder: Path) -> None:
    path = folder / "spill_1.json"
    os.mkfifo(path)
    with pytest.raises(SpillRefused, match="regular"):
        read_spill(str(folder), str(path))


def test_a_fifo_with_a_writer_is_refused_too(folder: Path) -> None:
    path = folder / "spill_1.json"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, b"{}")
        with pytest.raises(SpillRefused, match="regular"):
            read_spill(str(folder), str(path))
    finally:
        os.close(descriptor)


def test_folders_sockets_and_devices_are_refused(folder: Path) -> None:
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.open(folder, os.O_RDONLY)
        try:  # the folder's own path may be too long for a socket
            listener.bind(f"/proc/self/fd/{here}/socket")
        finally:
            os.close(here)
        for name in ("folder", "socket"):
            with pytest.raises(SpillRefused):
                read_spill(str(folder), str(folder / name))
    with pytest.raises(SpillRefused, match="regular"):
        read_spill("/dev", "/dev/zero")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.text())
def test_any_path_is_refused_when_the_folder_is_empty(folder: Path, path: str) -> None:
    with pytest.raises(SpillRefused):
        read_spill(str(folder), path)
    with pytest.raises(SpillRefused):
        read_spill(str(folder), os.path.join(folder, path))


@pytest.mark.parametrize("output_dir", ["/tmp/p/outputs", "/tmp/p/outputs/"])
def test_inputs_lie_beside_the_outputs(output_dir: str) -> None:
    assert input_folder(output_dir) == "/tmp/p/inputs"
