from __future__ import annotations

import enum
import io
import os
import pathlib
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import pytest

from worker.inputs import InputFailure, prepared_inputs
from worker.options import Options
from worker.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]

HELLO = "data:text/plain,hello"


class Style(enum.Enum):
    PHOTO = "photo"
    ART = "art"


class Hidden:
    def __init__(self, value: str) -> None:
        self.value = value

    def get_secret_value(self) -> str:
        return self.value


class OwnPath(pathlib.PosixPath): ...


def signature(**annotations: Any) -> Any:
    """The signature of a function with these parameters, all of them required."""
    names: dict[str, Any] = {}
    exec(f"def run({', '.join(annotations)}): ...", names)
    names["run"].__annotations__ = annotations
    return signature_of(names["run"])


def converted(annotation: Any, value: Any, options: Options | None = None) -> Any:
    """What a value becomes; files are told by their content, because they are gone afterwards."""
    with prepared_inputs(signature(a=annotation), {"a": value}, options or Options()) as ready:
        return contents(ready["a"])


def contents(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return type(value).__name__, Path(value).read_text()
    if isinstance(value, io.IOBase):
        return value.read()
    if isinstance(value, list | tuple | set):
        return type(value)(contents(item) for item in value)
    if isinstance(value, dict):
        return {key: contents(item) for key, item in value.items()}
    return value


# --- without conversion -----------------------------------------------------------------------


def test_plain_values_are_passed_as_they_are() -> None:
    raw = {"text": "x", "n": 2**70, "list": [1], "object": {"z": 1, "a": 2}, "null": None}
    plain = signature(text=str, n=int, list=list[int], object=dict, null=str | None)
    with prepared_inputs(plain, raw, Options()) as arguments:
        assert arguments == raw
        assert list(arguments["object"]) == ["z", "a"]
        arguments["text"] = "changed"
    assert raw["text"] == "x"


def test_names_that_the_function_does_not_have_are_passed_for_it_to_refuse() -> None:
    with prepared_inputs(signature(a=int), {"a": 1, "bogus": 2}, Options()) as arguments:
        assert arguments == {"a": 1, "bogus": 2}


@pytest.mark.parametrize("raw", [None, [], "text", 5])
def test_an_input_that_is_no_object_is_refused(raw: Any) -> None:
    with pytest.raises(InputFailure, match=r"^Input must be a JSON object$"):
        prepared_inputs(signature(), raw, Options()).__enter__()


def test_a_missing_input_is_left_to_the_call() -> None:
    with prepared_inputs(signature(a=int), {}, Options()) as arguments:
        assert arguments == {}


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Path, HELLO, ("PosixPath", "hello")),
        (OwnPath, HELLO, ("OwnPath", "hello")),
        (os.PathLike, HELLO, ("PosixPath", "hello")),
        (Path | None, HELLO, ("PosixPath", "hello")),
        (Path | None, None, None),
        (str | Path, HELLO, ("PosixPath", "hello")),
        (str | Path, "just text", "just text"),
        (int | Path, 5, 5),
        (list[Path], [HELLO, "data:,b"], [("PosixPath", "hello"), ("PosixPath", "b")]),
        (list[Path] | None, [HELLO], [("PosixPath", "hello")]),
        (Path | list[Path], [HELLO], [("PosixPath", "hello")]),
        (Path | list[Path], HELLO, ("PosixPath", "hello")),
        (tuple[Path, ...], [HELLO], (("PosixPath", "hello"),)),
        (list[list[Path]], [[HELLO]], [[("PosixPath", "hello")]]),
        (dict[str, Path], {"k": HELLO}, {"k": ("PosixPath", "hello")}),
        (BinaryIO, HELLO, b"hello"),
        (list[BinaryIO], [HELLO], [b"hello"]),
        (TextIO, "data:,h%C3%A9", "hé"),
        (typing.IO[bytes], HELLO, b"hello"),
    ],
    ids=str,
)
def test_urls_become_what_the_annotation_asks_for(
    annotation: Any, value: Any, expected: Any
) -> None:
    assert converted(annotation, value) == expected


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(Path, 5), (Path, {"a": 1}), (list[Path], "text"), (list[Path], 5), (dict[str, Path], [])],
)
def test_what_does_not_fit_is_left_for_the_schema_to_refuse(annotation: Any, value: Any) -> None:
    assert converted(annotation, value) == value


@pytest.mark.parametrize(
    ("url", "content", "name"),
    [
        ("data:,a%20b", "a b", "file.txt"),
        ("data:;base64,aGVsbG8=", "hello", "file.txt"),
        ("DATA:text/html;charset=utf-8,<p>", "<p>", "file.html"),
        ("data:image/png;base64,aGVsbG8%3D", "hello", "file.png"),
        ("data:text/csv;BASE64,aGVsbG8=", "hello", "file.csv"),
        ("data:application/x-of-nobody,x", "x", "file"),
        ("data:text/plain,", "", "file.txt"),
        ("data:image/png;name=a%20%C3%A9.jpg;base64,aGVsbG8=", "hello", "a é.jpg"),
        ("data:;name=..%2F..%00;base64,aGVsbG8=", "hello", ".._.._"),
        ("data:text/csv; NAME=...,x", "x", "file.csv"),
    ],
)
def test_data_urls(url: str, content: str, name: str) -> None:
    with prepared_inputs(signature(a=Path), {"a": url}, Options()) as arguments:
        assert arguments["a"].name == name
        assert arguments["a"].read_text() == content


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("data:text/plain", "a: is not a data URL: the comma before the data is missing"),
        ("data:;base64,aGVsbG8", "a: is not a data URL: Incorrect padding"),
        ("data:;base64,é", "a: is not a data URL: "),
    ],
)
def test_broken_data_urls(url: str, text: str) -> None:
    with pytest.raises(InputFailure, match=f"^{text}"):
        converted(Path, url)


@pytest.mark.parametrize("annotation", [Path, Path | None, BinaryIO, TextIO, int | Path])
def test_local_paths_of_clients_are_refused(annotation: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not read")
    with pytest.raises(InputFailure, match=r"^a: give an http:, https: or data: URL; .*refused"):
        converted(annotation, str(secret))
    for same in (f"file://{secret}", f"FILE:{secret}", os.path.relpath(secret)):
        with pytest.raises(InputFailure, match=r"^a: give an http:.*--allow-local-files"):
            converted(annotation, same)


def test_the_place_in_a_list_is_named() -> None:
    with pytest.raises(InputFailure, match=r"^a\[1\]: give an http:"):
        converted(list[Path], [HELLO, "/etc/passwd"])
    with pytest.raises(InputFailure, match=r"^a\['k'\]\[0\]: is not a data URL"):
        converted(dict[str, list[Path]], {"k": ["data:nothing"]})


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(Path, ("PosixPath", "read me")), (BinaryIO, b"read me"), (TextIO, "read me")],
)
def test_local_paths_where_the_operator_allows_them(
    annotation: Any, expected: Any, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("read me")
    assert converted(annotation, str(file), Options(allow_local_files=True)) == expected
    assert file.exists()


@pytest.mark.parametrize(
    ("annotation", "expected"), [(Path, ("PosixPath", "read me")), (BinaryIO, b"read me")]
)
@pytest.mark.parametrize("form", ["file://{}", "FILE://localhost{}", "file:{}"])
def test_local_files_may_be_named_by_urls(
    annotation: Any, expected: Any, form: str, tmp_path: Path
) -> None:
    file = tmp_path / "a file"
    file.write_text("read me")
    url = form.format(str(file).replace(" ", "%20"))
    assert converted(annotation, url, Options(allow_local_files=True)) == expected


@pytest.mark.parametrize("url", ["file://elsewhere/etc/passwd", "file:passwd", "file://", "file:"])
def test_file_urls_that_name_no_file_of_this_machine(url: str) -> None:
    with pytest.raises(InputFailure, match=r"^a: is not a file: URL of this machine, as file:///"):
        converted(Path, url, Options(allow_local_files=True))


def test_paths_may_go_anywhere_where_the_operator_allows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("read me")
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    assert converted(BinaryIO, "../file", Options(allow_local_files=True)) == b"read me"


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    """To open a pipe would be to wait until somebody writes into it."""
    os.mkfifo(tmp_path / "pipe")
    path = {"pipe": str(tmp_path / "pipe"), "folder": str(tmp_path), "device": "/dev/zero"}[kind]
    with pytest.raises(InputFailure, match=r"^a: cannot be opened: "):
        converted(BinaryIO, path, Options(allow_local_files=True))


def test_a_local_file_that_is_not_there() -> None:
    with pytest.raises(InputFailure, match=r"^a: cannot be opened: .*No such file"):
        converted(BinaryIO, "/nowhere/at/all", Options(allow_local_files=True))


# --- secrets and choices ----------------------------------------------------------------------


@pytest.mark.parametrize("annotation", [Hidden, Hidden | None, str | Hidden])
def test_secrets_are_wrapped(annotation: Any) -> None:
    secret = converted(annotation, "s3cret")
    assert isinstance(secret, Hidden)
    assert secret.value == "s3cret"
    assert converted(Hidden | None, None) is None


def test_a_list_of_secrets() -> None:
    assert [each.value for each in converted(list[Hidden], ["a", "b"])] == ["a", "b"]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Style, "art", Style.ART),
        (Style | None, "art", Style.ART),
        (Style | str, "art", Style.ART),
        (Style | str, "other", "other"),
        (list[Style], ["art", "photo"], [Style.ART, Style.PHOTO]),
        (set[str], ["a", "b", "a"], {"a", "b"}),
        (tuple[int, ...], [1, 2], (1, 2)),
        (typing.Literal["a"], "a", "a"),
        (Style, "unknown", "unknown"),
    ],
    ids=str,
)
def test_enumerations_and_collections(annotation: Any, value: Any, expected: Any) -> None:
    assert converted(annotation, value) == expected


def test_the_types_of_the_sdk(load_model: Load) -> None:
    predictor = load_model(
        """
        from typing import List, Optional
        import cog
        def run(path: cog.Path, file: cog.File, paths: List[cog.Path], secret: cog.Secret,
                maybe: Optional[cog.Path] = None): ...
        """,
        "run",
    )
    import cog

    raw = {"path": HELLO, "file": HELLO, "paths": [HELLO], "secret": "s"}
    with prepared_inputs(predictor.signature, raw, Options()) as arguments:
        assert type(arguments["path"]) is cog.Path
        assert type(arguments["paths"][0]) is cog.Path
        assert arguments["file"].read() == b"hello"
        assert arguments["secret"] == cog.Secret("s")
        assert str(arguments["secret"]) == "**********"
        assert arguments["maybe"] is None


# --- defaults ---------------------------------------------------------------------------------


def test_defaults_are_converted_too(load_model: Load, tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("the author's")
    predictor = load_model(
        """
        from cog import Input, Path, Secret
        def run(
            url: Path = Input(default="data:,from-url"), local: Path = Input(default="own.txt"),
            plain: Path = "own.txt", secret: Secret = "s", none: Path = None,
            many: list[Path] = Input(default=["data:,a"]), ready: Path = Path("own.txt"),
        ): ...
        """,
        "run",
    )
    with prepared_inputs(predictor.signature, {}, Options()) as arguments:
        assert contents(arguments["url"]) == ("Path", "from-url")
        assert contents(arguments["local"]) == ("Path", "the author's")
        assert contents(arguments["plain"]) == ("Path", "the author's")
        assert contents(arguments["ready"]) == ("Path", "the author's")
        assert contents(arguments["many"]) == [("Path", "a")]
        assert arguments["secret"].get_secret_value() == "s"
        assert arguments["none"] is None


def test_the_defaults_of_input_objects_are_handed_over(load_model: Load) -> None:
    predictor = load_model(
        """
        from cog import Input
        def run(a: int = Input(default=1), b: str = Input(description="d"), c: int = 3): ...
        """,
        "run",
    )
    with prepared_inputs(predictor.signature, {}, Options()) as arguments:
        assert arguments == {"a": 1, "b": None}


def test_one_prediction_cannot_change_the_default_of_the_next(load_model: Load) -> None:
    predictor = load_model(
        "from cog import Input\ndef run(a: dict = Input(default={'k': [1]})): ...", "run"
    )
    for _ in range(2):
        with prepared_inputs(predictor.signature, {}, Options()) as arguments:
            assert arguments == {"a": {"k": [1]}}
            arguments["a"]["k"].append(2)


def test_parameters_by_place_get_their_arguments(load_model: Load) -> None:
    predictor = load_model(
        "def run(a: int, b: int = 2, c: int = 3, /, d: int = 4): return [a, b, c, d]", "run"
    )
    for raw, expected in (
        ({"a": 1}, [1, 2, 3, 4]),
        ({"a": 1, "c": 5}, [1, 2, 5, 4]),
        ({"d": 6, "b": 7, "a": 8}, [8, 7, 3, 6]),
    ):
        with prepared_inputs(predictor.signature, raw, Options()) as arguments:
            assert predictor.call(**arguments) == expected
    with (
        prepared_inputs(predictor.signature, {"b": 1}, Options()) as arguments,
        pytest.raises(TypeError, match="run"),
    ):
        predictor.call(**arguments)


def test_a_text_stream(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("grün")
    local = Options(allow_local_files=True)
    assert converted(typing.IO[str], str(path), local) == "grün"
    assert converted(list[typing.IO[str]], ["data:,gr%C3%BCn"]) == ["grün"]
    assert converted(typing.IO[bytes], str(path), local) == "grün".encode()


# --- the end ----------------------------------------------------------------------------------


def test_files_are_private_and_removed_at_the_end(temporary: Path) -> None:
    with prepared_inputs(signature(a=Path), {"a": HELLO}, Options()) as arguments:
        (folder,) = temporary.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert arguments["a"].is_relative_to(folder)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_files_are_removed_after_an_error_or_a_cancellation(
    error: type[BaseException], temporary: Path
) -> None:
    def predict() -> None:
        with prepared_inputs(signature(a=Path), {"a": HELLO}, Options()):
            assert len(list(temporary.iterdir())) == 1
            raise error

    with pytest.raises(error):
        predict()
    assert list(temporary.iterdir()) == []


def test_files_are_removed_when_another_input_fails(temporary: Path) -> None:
    with pytest.raises(InputFailure, match=r"^b: "):
        prepared_inputs(
            signature(a=Path, b=Path), {"a": HELLO, "b": "data:"}, Options()
        ).__enter__()
    assert list(temporary.iterdir()) == []


def test_the_model_may_move_or_remove_its_files(temporary: Path, tmp_path: Path) -> None:
    raw = {"a": HELLO, "b": HELLO}
    with prepared_inputs(signature(a=Path, b=Path), raw, Options()) as arguments:
        arguments["a"].unlink()
        arguments["b"].rename(tmp_path / "kept")
    assert list(temporary.iterdir()) == []
    assert (tmp_path / "kept").read_text() == "hello"


def test_equal_urls_are_different_files() -> None:
    with prepared_inputs(signature(a=list[Path]), {"a": [HELLO, HELLO]}, Options()) as arguments:
        first, second = arguments["a"]
        first.write_text("changed")
        assert second.read_text() == "hello"


def test_open_files_are_closed_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    options = Options(allow_local_files=True)
    raw = {"a": str(tmp_path / "file")}
    with prepared_inputs(signature(a=BinaryIO), raw, options) as arguments:
        stream = arguments["a"]
        assert not stream.closed
    assert stream.closed


def test_files_lie_where_the_supervisor_clears_up(tmp_path: Path) -> None:
    with prepared_inputs(
        signature(a=Path), {"a": "data:text/plain,hello"}, Options(), folder=str(tmp_path)
    ) as arguments:
        assert arguments["a"].is_relative_to(tmp_path)
        assert arguments["a"].read_text() == "hello"
    assert list(tmp_path.iterdir()) == []
