from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import io
import json
import os
import resource
import sys
import tempfile
import types
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs
import msgspec
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import decode_slot_response, encode_slot_response
from protocol.json_text import INT_MAX, INT_MIN
from protocol.limits import HEADER_SIZE, INLINE_MAX
from protocol.messages import FileKind, FileOutput, OutputChunk
from protocol.spill import read_spill
from worker.outputs import OutputFailure, OutputWriter, stream_of
from worker.plain_json import DEPTH_MAX, plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]

NAN = float("nan")


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def writer(output_dir: Path) -> OutputWriter:
    return OutputWriter(str(output_dir))


def over_the_wire(message: OutputChunk | FileOutput) -> Any:
    """The message as the supervisor gets it."""
    return decode_slot_response(memoryview(encode_slot_response(message))[HEADER_SIZE:])


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


# --- JSON values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, 2**70, -1.5, "", "é☃𝄞", [], {}, [1, None], {"z": 1, "a": [{"b": 2}]}],
    ids=repr,
)
def test_json_values_arrive_as_they_are(value: Any, writer: OutputWriter) -> None:
    message = over_the_wire(writer.message(value))
    assert message == OutputChunk(value, 0)
    assert json.dumps(message.output) == json.dumps(value)


def test_chunks_are_counted_and_files_are_not(writer: OutputWriter, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    messages = [writer.message(item) for item in ("a", tmp_path / "file", [1], None)]
    assert [message.index for message in messages if isinstance(message, OutputChunk)] == [0, 1, 2]


class Color(enum.Enum):
    RED = "red"


class Weight(enum.IntEnum):
    HEAVY = 3


class Pair(NamedTuple):
    left: int
    right: str


@dataclasses.dataclass
class Data:
    name: str
    inner: Any = None


@attrs.define
class Attrs:
    name: str
    inner: Any = None


class Model:
    """As pydantic 2."""

    def model_dump(self) -> dict[str, Any]:
        return {"dumped": Color.RED}


class OldModel:
    """As pydantic 1."""

    def dict(self) -> dict[str, Any]:
        return {"dumped": (1, 2)}


class Hidden:
    def get_secret_value(self) -> str:
        return "s3cret"


class Text(str):
    def __str__(self) -> str:
        return "another"


class Array:
    """As numpy and torch."""

    dtype = "float32"

    def tolist(self) -> list[Any]:
        return [[1.5, 2.5]]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, (2, 3)), [1, [2, 3]]),
        (Pair(1, "x"), [1, "x"]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        (collections.deque([1, 2]), [1, 2]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        (collections.OrderedDict(z=1, a=(2,)), {"z": 1, "a": [2]}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (types.MappingProxyType({"k": {1}}), {"k": [1]}),
        ({"k": (i for i in range(2))}, {"k": [0, 1]}),
        ({"k": map(str, [1])}, {"k": ["1"]}),
        (Color.RED, "red"),
        (Weight.HEAVY, 3),
        ([Weight.HEAVY, Text("text")], [3, "text"]),
        (Data("x", Data("y", (1,))), {"name": "x", "inner": {"name": "y", "inner": [1]}}),
        (Attrs("x", {2}), {"name": "x", "inner": [2]}),
        (Model(), {"dumped": "red"}),
        ([OldModel()], [{"dumped": [1, 2]}]),
        (Hidden(), "**********"),
        ({"token": Hidden()}, {"token": "**********"}),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC), "2024-01-02T03:04:05+00:00"),
        (datetime.date(2024, 1, 2), "2024-01-02"),
        (datetime.time(3, 4), "03:04:00"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (b"hello", "data:application/octet-stream;base64,aGVsbG8="),
        (
            [bytearray(b"a"), memoryview(b"b")],
            [
                "data:application/octet-stream;base64,YQ==",
                "data:application/octet-stream;base64,Yg==",
            ],
        ),
        (Array(), [[1.5, 2.5]]),
    ],
    ids=repr,
)
def test_other_values_become_plain(value: Any, plain: Any, writer: OutputWriter) -> None:
    output = over_the_wire(writer.message(value)).output
    assert output == plain
    assert json.dumps(output) == json.dumps(plain)


def test_keys_become_texts_as_in_pythons_json() -> None:
    key = uuid.UUID(int=5)
    mapping = {1: 3, 1.5: 2, None: 4, Color.RED: 5, Text("t"): 6, key: 7, False: 8}
    assert plain_json(mapping) == {
        "1": 3, "1.5": 2, "null": 4, "red": 5, "t": 6, str(key): 7, "false": 8,
    }  # fmt: skip
    assert plain_json({True: 1}) == {"true": 1}
    assert plain_json({datetime.date(2024, 1, 2): 1}) == {"2024-01-02": 1}


def test_numpy_and_pydantic_themselves() -> None:
    import numpy
    import pydantic

    model = pydantic.create_model("Answer", scores=(list[float], ...), at=(datetime.date, ...))
    answer = model(scores=[0.5], at="2024-01-02")
    value = {
        "array": numpy.array([[1, 2]], dtype="int16"),
        "scalar": numpy.float32(0.5),
        "double": numpy.float64(0.25),
        "flag": numpy.bool_(True),
        "text": numpy.str_("t"),
        "model": answer,
    }
    plain = plain_json(value)
    assert plain == {
        "array": [[1, 2]],
        "scalar": 0.5,
        "double": 0.25,
        "flag": True,
        "text": "t",
        "model": {"scores": [0.5], "at": "2024-01-02"},
    }
    assert [type(plain[key]) for key in ("double", "flag", "text")] == [float, bool, str]


def test_the_types_of_the_sdk(load_model: Load) -> None:
    predictor = load_model(
        """
        from cog import BaseModel, Secret
        class Answer(BaseModel):
            text: str
            token: Secret
        def run(): return [Answer(text="x", token=Secret("s3cret"))]
        """,
        "run",
    )
    assert plain_json(predictor.call()) == [{"text": "x", "token": "**********"}]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abé"), inner),
    max_leaves=30,
)


@given(json_values)
def test_every_json_value_survives(value: Any) -> None:
    assert json.dumps(plain_json(value)) == json.dumps(value)


@given(json_values)
def test_the_walk_copies(value: Any) -> None:
    plain = plain_json(value)
    if isinstance(value, list | dict):
        assert plain is not value


# --- what JSON cannot say ---------------------------------------------------------------------


def failing() -> Iterator[int]:
    yield 1
    raise ValueError("in the middle")


class Number(int): ...


class Failing:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or KeyError("no dump")

    def model_dump(self) -> dict[str, Any]:
        raise self.error


class Unprintable(Exception):
    def __str__(self) -> str:
        raise KeyError("no text")


async def coroutine() -> None: ...


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NAN, "output: nan is no number in JSON"),
        ([1, float("inf")], "output[1]: inf is no number in JSON"),
        ({"scores": [0.5, -float("inf")]}, "output.scores[1]: -inf is no number in JSON"),
        ({"two words": {"a": NAN}}, "output['two words'].a: nan is no number in JSON"),
        ({5: NAN}, "output[5]: nan is no number in JSON"),
        (Data("x", [NAN]), "output.inner[0]: nan is no number in JSON"),
        ({"a": object()}, "output.a: an object of type object has no form in JSON"),
        (1j, "output: an object of type complex has no form in JSON"),
        (len, "output: an object of type builtin_function_or_method has no form in JSON"),
        ({"a": Data}, "output.a: the class Data itself is no output"),
        ({"a": {(1, 2): 3}}, "output.a: (1, 2) cannot be a key of a JSON object"),
        ({NAN: 3}, "output: nan cannot be a key of a JSON object"),
        ({"a": failing()}, "output.a: ValueError: in the middle"),
        ([Failing()], "output[0]: KeyError: 'no dump'"),
        (nested(DEPTH_MAX + 1), f"output{'[0]' * DEPTH_MAX}: more than {DEPTH_MAX} levels"),
        ("\ud800", "output: 'utf-8' codec can't encode"),
        ({"a\ud800": 1}, "output: 'utf-8' codec can't encode"),
        ({"a": [5, ("x", "\ud800")]}, "output.a[1][1]: 'utf-8' codec can't encode"),
        ([Failing(Unprintable())], "output[0]: Unprintable: <KeyError in __str__>"),
        ({"a": Path("/nowhere/at/all")}, "output.a: file cannot be read: [Errno 2] No such file"),
        (Path("/nowhere/at/all"), "output: file cannot be read: [Errno 2] No such file"),
        (Path("/tmp"), "output: file cannot be read: [Errno 21] Is a directory: '/tmp'"),
        (Path("/dev/null"), "output: file cannot be read: '/dev/null' is not a regular file"),
    ],
)  # fmt: skip
def test_the_place_of_what_cannot_be_said(value: Any, text: str, writer: OutputWriter) -> None:
    with pytest.raises(OutputFailure) as caught:
        writer.message(value)
    assert str(caught.value)[: len(text)] == text


def test_the_longest_integers_are_read_again(writer: OutputWriter) -> None:
    for value in (INT_MAX, INT_MIN):
        for output in (value, {"a": [value, {"b": value}]}, Number(value)):
            assert over_the_wire(writer.message(output)).output == output


# Made in the test: pytest cannot name parameters that Python does not print.
@pytest.mark.parametrize("digits", [0, 1, 700])
def test_the_place_of_an_integer_that_is_too_long(digits: int, writer: OutputWriter) -> None:
    for value in (INT_MAX + 10**digits, INT_MIN - 10**digits):
        for output, place in (
            (value, "output"),
            (Number(value), "output"),
            ({"a": [1, value]}, "output.a[1]"),
            ({"a": {"b": value}}, "output.a.b"),
            ([Number(value)], "output[0]"),
        ):
            with pytest.raises(OutputFailure) as caught:
                writer.message(output)
            assert str(caught.value) == f"{place}: an integer has more than 4300 digits"


@pytest.fixture
def any_length() -> Iterator[None]:
    """The model has switched off the interpreter's own limit."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(limit)


@pytest.mark.usefixtures("any_length")
def test_the_limit_of_integers_is_not_the_models(writer: OutputWriter) -> None:
    with pytest.raises(OutputFailure, match=r"^output: an integer has more than 4300 digits$"):
        writer.message(10**4300)


def test_the_place_of_an_item_of_a_stream(writer: OutputWriter, tmp_path: Path) -> None:
    writer.is_stream = True
    (tmp_path / "a.txt").touch()
    long = "x" * (INLINE_MAX + 1)
    for item in (1, tmp_path / "a.txt", long, [2]):
        writer.message(item)
    for item, place in (
        (NAN, "output[4]"),
        ([1, NAN], "output[5][1]"),
        ("\ud800", "output[6]"),
        ({"a": "\ud800"}, "output[7].a"),
        (Path("/nowhere/at/all"), "output[8]"),
        (10**4300, "output[9]"),
    ):
        with pytest.raises(OutputFailure) as caught:
            writer.message(item)
        assert str(caught.value).startswith(f"{place}: ")
    with pytest.raises(OutputFailure, match=r"^output\[10\]: file cannot be read"):
        writer.file_message(Path("/nowhere/at/all"))


def test_a_coroutine_is_no_output(writer: OutputWriter) -> None:
    awaitable = coroutine()
    with pytest.raises(OutputFailure, match="an object of type coroutine has no form in JSON"):
        writer.message([awaitable])
    awaitable.close()


def test_cycles(writer: OutputWriter) -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    with pytest.raises(OutputFailure, match=r"^output\.self\[0\]: contains itself$"):
        writer.message(value)
    data = Data("x")
    data.inner = data
    with pytest.raises(OutputFailure, match=r"^output\.inner: contains itself$"):
        writer.message(data)


def test_the_same_object_twice_is_no_cycle() -> None:
    shared = [1]
    assert plain_json({"a": shared, "b": [shared, shared]}) == {"a": [1], "b": [[1], [1]]}


def test_the_deepest_output_that_is_allowed(writer: OutputWriter) -> None:
    assert over_the_wire(writer.message(nested(DEPTH_MAX))).output == nested(DEPTH_MAX)


def test_a_failure_does_not_count_as_a_chunk(writer: OutputWriter) -> None:
    with pytest.raises(OutputFailure):
        writer.message(NAN)
    assert writer.message(1) == OutputChunk(1, 0)


def test_a_cancellation_passes_through(writer: OutputWriter) -> None:
    def cancelled() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writer.message({"a": cancelled()})


# --- too big for a frame ----------------------------------------------------------------------


def test_the_largest_value_in_a_frame(writer: OutputWriter) -> None:
    text = "x" * (INLINE_MAX - 2)
    assert over_the_wire(writer.message(text)) == OutputChunk(text, 0)


@pytest.mark.parametrize(
    "value",
    ["x" * (INLINE_MAX - 1), "é" * (INLINE_MAX // 2), "\0" * INLINE_MAX, ["x" * INLINE_MAX]],
)
def test_larger_values_spill(value: Any, writer: OutputWriter, output_dir: Path) -> None:
    message = writer.message(value)
    assert isinstance(message, FileOutput)
    assert message.kind is FileKind.OVERSIZED
    assert os.stat(message.filename).st_mode & 0o777 == 0o600
    assert json.loads(read_spill(str(output_dir), message.filename)) == value
    assert list(output_dir.iterdir()) == []


def test_a_spill_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = OutputWriter(str(tmp_path / "file"))
    with pytest.raises(OutputFailure, match=r"^output: cannot be written to a file: "):
        writer.message("x" * (INLINE_MAX + 1))


# --- files ------------------------------------------------------------------------------------


def saved(message: OutputChunk | FileOutput, output_dir: Path) -> tuple[str, bytes]:
    """The name and content of a file output, which has to lie in the prediction's folder."""
    assert isinstance(message, FileOutput)
    assert message.kind is FileKind.FILE
    assert message.mime_type is None
    path = Path(message.filename)
    assert path.is_absolute()
    assert path.is_relative_to(output_dir)
    assert path.stat().st_mode & 0o777 == 0o600
    return path.name, path.read_bytes()


def test_a_path_is_copied_with_its_name(
    writer: OutputWriter, output_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "out é.png").write_bytes(b"content")
    message = writer.message(tmp_path / "out é.png")
    assert saved(message, output_dir) == ("out é.png", b"content")
    assert over_the_wire(message) == message
    assert (tmp_path / "out é.png").exists()


def test_a_relative_path(
    writer: OutputWriter, output_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out.txt").write_text("x")
    assert saved(writer.message(Path("out.txt")), output_dir) == ("out.txt", b"x")


def test_a_link_is_followed(writer: OutputWriter, output_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("x")
    (tmp_path / "link.png").symlink_to(tmp_path / "real.txt")
    message = writer.message(tmp_path / "link.png")
    assert saved(message, output_dir) == ("link.png", b"x")
    assert not Path(message.filename).is_symlink()  # type: ignore[union-attr]


def test_a_name_that_is_not_utf8_is_made_safe(
    writer: OutputWriter, tmp_path: Path, output_dir: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_bytes(b"content")
    assert saved(over_the_wire(writer.message(path)), output_dir) == ("caf_.txt", b"content")
    with path.open("rb") as file:
        assert saved(over_the_wire(writer.message(file)), output_dir) == ("caf_.txt", b"content")


def test_a_copy_that_cannot_be_written_is_told_as_that(
    writer: OutputWriter, tmp_path: Path
) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(5000))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OutputFailure, match=r"cannot be copied: .* File too large"):
            writer.message(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_is_written_again_between_items(
    writer: OutputWriter, output_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out.png"
    messages = []
    for content in (b"first", b"second"):
        file.write_bytes(content)
        messages.append(writer.message(file))
    file.unlink()
    assert [saved(message, output_dir) for message in messages] == [
        ("out.png", b"first"),
        ("out.png", b"second"),
    ]


def test_a_fifo_does_not_block(writer: OutputWriter, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputFailure, match="is not a regular file"):
        writer.message(tmp_path / "fifo")


class Duck:
    """Behaves like an open file, and derives from nothing."""

    closed = False

    def __init__(self) -> None:
        self.pieces = [b"duck", b""]

    def read(self, _: int) -> bytes:
        return self.pieces.pop(0)

    def seek(self, _: int) -> None: ...

    def seekable(self) -> bool:
        return True

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda _: io.BytesIO(b"bytes"), ("output.bin", b"bytes")),
        (lambda _: io.StringIO("téxt"), ("output.txt", "téxt".encode())),
        (lambda _: Duck(), ("output.bin", b"duck")),
    ],
)
def test_streams_without_a_name(
    make: Callable[[Path], Any], expected: Any, writer: OutputWriter, output_dir: Path
) -> None:
    assert saved(writer.message(make(output_dir)), output_dir) == expected


@pytest.mark.parametrize("mode", ["rb", "r", "w+b", "r+"])
def test_open_files_are_read_from_their_beginning(
    mode: str, writer: OutputWriter, output_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "open.csv"
    path.write_text("hello")
    with open(path, mode) as file:
        if "w" in mode:
            file.write(b"hello")
        file.seek(0, os.SEEK_END)
        assert saved(writer.message(file), output_dir) == ("open.csv", b"hello")


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_a_file_open_for_writing_is_what_was_written(
    mode: str, writer: OutputWriter, output_dir: Path, tmp_path: Path
) -> None:
    with open(tmp_path / "open.bin", mode) as file:
        file.write(b"not flushed yet")
        assert saved(writer.message(file), output_dir) == ("open.bin", b"not flushed yet")


def test_a_temporary_file(writer: OutputWriter, output_dir: Path) -> None:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"temporary")
        name, content = saved(writer.message(file), output_dir)
    assert name.endswith(".png")
    assert content == b"temporary"


def test_a_pipe_is_read_to_its_end(writer: OutputWriter, output_dir: Path) -> None:
    reader, other = os.pipe()
    with open(other, "wb") as pipe:
        pipe.write(b"through a pipe")
    with open(reader, "rb") as pipe_out:
        assert saved(writer.message(pipe_out), output_dir) == ("output.bin", b"through a pipe")


def test_a_closed_file(writer: OutputWriter) -> None:
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(OutputFailure, match=r"^output: is a closed file; return its path instead$"):
        writer.message(file)


def test_a_file_whose_reading_fails(writer: OutputWriter) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            raise RuntimeError("torn")

    with pytest.raises(OutputFailure, match=r"^output: file cannot be read: RuntimeError: torn$"):
        writer.message(Broken())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    writer = OutputWriter(str(tmp_path / "file"))
    with pytest.raises(OutputFailure, match=r"^output: cannot be copied: "):
        writer.message(tmp_path / "file")


def test_nested_files_become_data_urls(writer: OutputWriter, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "b.of-nobody").write_bytes(b"odd")
    value = collections.OrderedDict(
        png=tmp_path / "a.png", odd=Data("x", tmp_path / "b.of-nobody"), text=io.StringIO("t")
    )
    assert over_the_wire(writer.message(value)).output == {
        "png": "data:image/png;base64,cG5n",
        "odd": {"name": "x", "inner": "data:application/octet-stream;base64,b2Rk"},
        "text": "data:text/plain;base64,dA==",
    }


def test_nested_files_are_put_apart_where_they_are_wanted_so(
    output_dir: Path, tmp_path: Path
) -> None:
    writer = OutputWriter(str(output_dir), files_apart=True)
    path = tmp_path / "a.png"
    path.write_bytes(b"png")
    value = {
        "a/b~": [1, path],
        2: (io.BytesIO(b"memory"),),
        True: collections.OrderedDict(x=path),
        "bytes": b"x",
    }
    message = over_the_wire(writer.message(value))
    assert message.kind is FileKind.OVERSIZED
    plain = json.loads(read_spill(str(output_dir), message.filename))
    assert plain == {
        "a/b~": [1, None],
        "2": [None],
        "true": {"x": None},
        "bytes": "data:application/octet-stream;base64,eA==",
    }
    names = {pointer: os.path.relpath(path, output_dir) for pointer, path in message.files.items()}
    assert names == {"/a~1b~0/1": "0/a.png", "/2/0": "1/output.bin", "/true/x": "2/a.png"}
    assert (output_dir / "1" / "output.bin").read_bytes() == b"memory"
    writer.is_stream = True
    assert list(writer.message([path]).files) == ["/0"], "it is the place in the item"
    with pytest.raises(OutputFailure, match=r"^output\[2\]\.x: .*missing"):
        writer.message({"x": tmp_path / "missing"})
    assert over_the_wire(writer.message({"no": "file"})) == OutputChunk({"no": "file"}, 0)
    assert over_the_wire(writer.message(path)).kind is FileKind.FILE


def test_a_dataclass_holding_an_open_file(writer: OutputWriter, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    with open(tmp_path / "a.png", "rb") as file:
        output = over_the_wire(writer.message(Data("x", file))).output
    assert output["inner"] == "data:image/png;base64,cG5n"


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "items"),
    [
        ([1, None, [2]], [1, None, [2]]),
        ((1, 2), [1, 2]),
        (Pair(1, "x"), [1, "x"]),
        ([], []),
        ((i for i in range(2)), [0, 1]),
        (iter([1, 2]), [1, 2]),
        (map(str, [1]), ["1"]),
        ({1}, [1]),
        (range(2), [0, 1]),
        (collections.deque([1, 2]), [1, 2]),
        ({1: 2}.values(), [2]),
        (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (numpy.array([]), []),
    ],
)
def test_what_is_sent_item_by_item(result: Any, items: list[Any]) -> None:
    stream = stream_of(result)
    assert stream is not None
    assert list(stream) == items


@pytest.mark.parametrize(
    "result",
    [
        *(None, "text", b"x", {"a": 1}, 5, Path("x"), io.BytesIO(b"a\nb"), Data),
        *(numpy.float32(0.5), numpy.array(1)),
    ],
)
def test_what_is_a_single_value(result: Any) -> None:
    assert stream_of(result) is None


def test_an_open_file_is_a_single_value(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+") as file:
        assert stream_of(file) is None
    with tempfile.NamedTemporaryFile() as temporary:
        assert stream_of(temporary) is None


def test_a_small_value_is_not_serialised_by_the_writer(writer: OutputWriter) -> None:
    """The codec does it, once; a walked value was serialised already, and goes in as it is."""
    assert type(writer.message("text").output) is str  # type: ignore[union-attr]
    assert type(writer.message([1]).output) is msgspec.Raw  # type: ignore[union-attr]
