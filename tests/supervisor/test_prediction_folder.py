"""The folder of one prediction, and the message that it is sent with."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import trio

from protocol.errors import LocalProtocolError
from protocol.limits import INLINE_MAX
from protocol.messages import Trace
from supervisor.config import Limits
from supervisor.prediction_folder import PredictionFolder
from supervisor.state.prediction import Prediction

if TYPE_CHECKING:
    from pathlib import Path


def prediction(value: Any, **changes: Any) -> Prediction:
    return Prediction(id="p1", input=value, shown_input={}, limits=Limits(), **changes)


def of_size(size: int) -> dict[str, str]:
    """An input whose JSON has so many bytes."""
    return {"x": "y" * (size - len('{"x":""}'))}


def test_it_is_private_and_there_before_anything_is_sent(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = PredictionFolder(str(tmp_path), "0-1")
    finally:
        os.umask(old)
    assert folder.outputs == str(tmp_path / "0-1" / "outputs")
    for path in (tmp_path / "0-1", tmp_path / "0-1" / "outputs"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PredictionFolder(str(tmp_path / "missing"), "0-1")


async def test_a_small_input_travels_in_the_frame(tmp_path: Path) -> None:
    folder = PredictionFolder(str(tmp_path), "0-1")
    trace = Trace("00-1-2-01")
    value = {"b": 12345678901234567890123, "a": None}
    predict = await folder.predict(prediction(value, context={"k": "v"}, trace=trace))
    assert predict.id == "p1"
    assert bytes(predict.input) == b'{"b":12345678901234567890123,"a":null}'
    assert (predict.input_file, predict.output_dir) == (None, folder.outputs)
    assert (predict.context, predict.trace) == ({"k": "v"}, trace)
    assert os.listdir(tmp_path / "0-1") == ["outputs"]


@pytest.mark.parametrize("over", [0, 1])
async def test_one_byte_too_many_goes_to_a_file(tmp_path: Path, over: int) -> None:
    folder = PredictionFolder(str(tmp_path), "0-1")
    value = of_size(INLINE_MAX + over)
    predict = await folder.predict(prediction(value))
    if not over:
        assert predict.input_file is None
        assert len(predict.input) == INLINE_MAX
        return
    assert predict.input is None
    assert predict.input_file is not None
    assert os.path.dirname(predict.input_file) == str(tmp_path / "0-1" / "inputs")
    with open(predict.input_file, "rb") as file:  # noqa: ASYNC230
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
        assert msgspec.json.decode(file.read()) == value


async def test_an_input_that_json_cannot_say(tmp_path: Path) -> None:
    folder = PredictionFolder(str(tmp_path), "0-1")
    with pytest.raises(LocalProtocolError):
        await folder.predict(prediction({"x": object()}))


@pytest.mark.parametrize("left", [[], ["outputs/a.bin"], ["inputs/spill.json", "outputs/d/e"]])
async def test_it_goes_with_all_that_is_left_in_it(tmp_path: Path, left: list[str]) -> None:
    folder = PredictionFolder(str(tmp_path), "0-1")
    for name in left:
        path = trio.Path(tmp_path / "0-1" / name)
        await path.parent.mkdir(parents=True, exist_ok=True)
        await path.write_bytes(b"x")
    await folder.remove()
    assert os.listdir(tmp_path) == []
    await folder.remove()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("left", ["outputs/a.bin", "inputs", "other"])
async def test_only_an_untouched_folder_may_serve_again(tmp_path: Path, left: str) -> None:
    folder = PredictionFolder(str(tmp_path), "0-1")
    assert folder.is_untouched
    (tmp_path / "0-1" / left).mkdir()
    assert not folder.is_untouched
    await folder.remove()
    assert not folder.is_untouched


async def test_removing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    folder = PredictionFolder(str(tmp_path), "0-1")
    os.symlink(tmp_path / "precious", os.path.join(folder.outputs, "link"))
    await folder.remove()
    assert os.listdir(tmp_path) == ["precious"]
    assert os.listdir(tmp_path / "precious") == ["file"]
