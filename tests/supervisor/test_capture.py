"""The capture pipe, written to by the test itself."""

from __future__ import annotations

import os
import select
import subprocess

import pytest
import trio

from supervisor.capture import LAST_WORDS_MAX, CapturePipe
from tests.supervisor.process_table import PATIENCE, nothing_left


def test_both_ends_are_closed_with_the_context(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(tmp_path_factory.mktemp("empty"))
    with nothing_left(folder):
        with CapturePipe():
            pass
        with CapturePipe() as capture:
            capture.close_write_end()
            capture.close_write_end()


def test_ends_are_not_inherited() -> None:
    with CapturePipe() as capture:
        assert not os.get_inheritable(capture.read_end)
        assert not os.get_inheritable(capture.write_end)
        assert os.readlink(f"/proc/self/fd/{capture.write_end}") == f"pipe:[{capture.inode}]"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"", ""),
        (b"free(): invalid pointer\n", "free(): invalid pointer\n"),
        (b"caf\xc3\xa9 \xff \xc3", "café � �"),
    ],
)
@pytest.mark.parametrize("held_open", [False, True])
def test_last_words_are_what_was_not_read(written: bytes, text: str, held_open: bool) -> None:
    with CapturePipe() as capture:
        os.write(capture.write_end, written)
        if not held_open:
            capture.close_write_end()
        assert (capture.read_rest(), capture.last_words()) == (text, text)
        assert (capture.read_rest(), capture.last_words()) == ("", text)


def test_last_words_of_one_who_does_not_stop() -> None:
    """A descendant lives on and writes without end."""
    with CapturePipe() as capture:
        with subprocess.Popen(["yes"], stdout=capture.write_end) as noise:
            for _ in range(10):
                assert select.select([capture.read_end], [], [], PATIENCE)[0]
                assert set(capture.read_rest()) <= set("y\n")
            noise.kill()
        assert 0 < len(capture.last_words()) <= LAST_WORDS_MAX


async def test_drain_gives_lines_and_keeps_the_end() -> None:
    lines: list[str] = []
    with CapturePipe() as capture, trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture.drain, lines.append)
            for piece in b"first\nsec", b"ond\n\nth", b"ird \xff":
                os.write(capture.write_end, piece)
                await trio.testing.wait_all_tasks_blocked()
            assert lines == ["first", "second", ""]
            capture.close_write_end()
        assert lines == ["first", "second", "", "third �"]
        assert capture.last_words() == "first\nsecond\n\nthird �"


async def test_drain_gives_a_line_without_end_in_pieces() -> None:
    lines: list[str] = []
    with CapturePipe() as capture, trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture.drain, lines.append)
            for _ in range(10):
                os.write(capture.write_end, b"y" * 50_000)
                await trio.testing.wait_all_tasks_blocked()
            capture.close_write_end()
        assert "".join(lines) == "y" * 500_000
        assert max(map(len, lines)) <= 2 * LAST_WORDS_MAX
        assert capture.last_words() == "y" * LAST_WORDS_MAX


async def test_what_was_read_is_kept_until_forgotten() -> None:
    with CapturePipe() as capture, trio.fail_after(PATIENCE):
        os.write(capture.write_end, b"early")
        assert await capture.read() == b"early"
        capture.forget()
        os.write(capture.write_end, b"the reason, ")
        assert await capture.read() == b"the reason, "
        os.write(capture.write_end, b"and the rest")
        assert capture.read_rest() == "and the rest"
        assert capture.last_words() == "the reason, and the rest"


async def test_what_a_cancelled_drain_has_not_read_is_not_lost() -> None:
    lines: list[str] = []
    with CapturePipe() as capture, trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture.drain, lines.append)
            os.write(capture.write_end, b"read\n")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        os.write(capture.write_end, b"unread\n")
        assert lines == ["read"]
        assert capture.read_rest() == "unread\n"
        assert capture.last_words() == "read\nunread\n"
