"""Folders of files: gone when they are removed, whatever has cut those who write."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from worker import file_folder
from worker.file_folder import FileFolder, FolderRemoved
from worker.thread_interrupter import this_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType


class OutOfTheBlue(BaseException):
    """What another thread leaves with this one."""


def cut(function: Callable[[], object], step: int) -> bool:
    """Call `function`, with an exception at its `step`-th step; False: it has not so many.

    One is left only while the shield is free; so it may still come out at the first step inside.
    """
    steps = 0
    may_come = True

    def trace(_frame: FrameType, _event: str, _arg: object) -> Any:
        nonlocal steps, may_come
        could, may_come = may_come, not this_thread.shield._is_owned()  # type: ignore[attr-defined]
        if could:
            steps += 1
            if steps == step:
                sys.settrace(None)
                raise OutOfTheBlue
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except OutOfTheBlue:
        return True
    finally:
        sys.settrace(before)
    return steps >= step


def ends_elsewhere(function: Callable[[], object]) -> bool:
    """Whether another thread can do it: whether no lock has been left behind."""
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    thread.join(30)
    return not thread.is_alive()


def test_an_exception_out_of_the_blue_leaves_nothing_that_others_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_folder, "REMOVE_PATIENCE", 600.0)
    step = 0
    is_cut = True
    while is_cut:
        step += 1
        folder = FileFolder(str(tmp_path))
        path = folder.new_path("a")

        def work(folder: FileFolder = folder, path: str = path) -> None:
            folder.write(path, b"x")
            folder.new_path("b")

        is_cut = cut(work, step)
        assert ends_elsewhere(folder.remove), step
        assert list(tmp_path.iterdir()) == []
    assert step > 5


def test_nobody_waits_for_a_writer_that_never_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_folder, "REMOVE_PATIENCE", 0.0)
    folder = FileFolder(str(tmp_path))
    with folder.writing(folder.new_path("a")) as file:
        folder.remove()
        file.write(b"into nothing")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FolderRemoved):
        folder.new_path("b")
