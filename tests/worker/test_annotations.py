from __future__ import annotations

import collections.abc as abc
import dataclasses
import enum
import io
import os
import pathlib
import typing
from typing import Any

import attrs
import pytest

from worker.annotations import shape_of
from worker.constraints import Constraints
from worker.shapes import (
    AnyValue,
    Array,
    Choice,
    Constrained,
    FilePath,
    FileStream,
    Mapping,
    Nullable,
    OpenObject,
    Record,
    RecordField,
    Scalar,
    SecretText,
    Stream,
    Union,
    Unknown,
)

TEXT, WHOLE, NUMBER, YES_NO = Scalar.STRING, Scalar.INTEGER, Scalar.NUMBER, Scalar.BOOLEAN


class Style(enum.Enum):
    PHOTO = "photo"
    ART = "art"


class OwnPath(pathlib.PosixPath): ...


class Hidden:
    def __init__(self, value: str) -> None:
        self.value = value

    def get_secret_value(self) -> str:
        return self.value


class Marker:
    pass


_OpaqueMarker = type("_OpaqueMarker", (), {})
OPAQUE = _OpaqueMarker()
UserId = typing.NewType("UserId", int)


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (str, TEXT),
        (int, WHOLE),
        (float, NUMBER),
        (bool, YES_NO),
        (Any, AnyValue()),
        (object, AnyValue()),
        (dict, OpenObject()),
        (typing.Dict, OpenObject()),  # noqa: UP006
        (dict[str, int], Mapping(WHOLE)),
        (abc.Mapping[str, Any], Mapping(AnyValue())),
        (list, Array(OpenObject())),
        (list[int], Array(WHOLE)),
        (typing.List[str], Array(TEXT)),  # noqa: UP006
        (abc.Sequence[str], Array(TEXT)),
        (abc.Collection[str], Array(TEXT)),
        (tuple[int, ...], Array(WHOLE, tuple)),
        (tuple[int, str], Array(Unknown(), tuple)),
        (set[str], Array(TEXT, set)),
        (frozenset[str], Array(TEXT, frozenset)),
        (int | None, Nullable(WHOLE)),
        (typing.Optional[list[int]], Nullable(Array(WHOLE))),  # noqa: UP045
        (str | float, Union((TEXT, NUMBER))),
        (typing.Union[str, int, None], Nullable(Union((TEXT, WHOLE)))),  # noqa: UP007
        (typing.Literal["a", "b"], Choice(("a", "b"))),
        (typing.Literal["a", None], Nullable(Choice(("a",)))),
        (Style, Choice(("photo", "art"), Style)),
        (UserId, WHOLE),
        (typing.Annotated[int, object()], WHOLE),
        (typing.Annotated[int, "text"], Constrained(WHOLE, Constraints("text"))),
        (typing.Annotated[int | None, "text"], Nullable(Constrained(WHOLE, Constraints("text")))),
        (list[typing.Annotated[int, "text"]], Array(Constrained(WHOLE, Constraints("text")))),
        (typing.Annotated[Marker, OPAQUE], OpenObject()),
        (typing.Annotated[list[Marker], OPAQUE], Array(OpenObject())),
        (typing.Annotated[Marker | None, OPAQUE], Nullable(OpenObject())),
        (pathlib.Path, FilePath(pathlib.Path)),
        (os.PathLike, FilePath(pathlib.Path)),
        (os.PathLike[str], FilePath(pathlib.Path)),
        (OwnPath, FilePath(OwnPath)),
        (typing.BinaryIO, FileStream()),
        (typing.IO, FileStream()),
        (typing.IO[bytes], FileStream()),
        (typing.IO[str], FileStream(text=True)),
        (io.BytesIO, FileStream()),
        (typing.TextIO, FileStream(text=True)),
        (io.StringIO, FileStream(text=True)),
        (Hidden, SecretText(Hidden)),
        (abc.Iterator[int], Stream(WHOLE)),
        (abc.Iterable[str], Stream(TEXT)),
        (abc.Generator[str, None, None], Stream(TEXT)),
        (abc.AsyncIterator[str], Stream(TEXT)),
        (abc.AsyncGenerator[str, None], Stream(TEXT)),
        (None, Unknown()),
        (bytes, Unknown()),
        (Marker, Unknown()),
        (typing.TypeVar("T"), Unknown()),
        ("a string that was not resolved", Unknown()),
        (5, Unknown()),
    ],
    ids=str,
)
def test_what_annotations_mean(annotation: Any, shape: object) -> None:
    assert shape_of(annotation) == shape


def test_the_iterators_of_the_sdk_are_pieces_of_one_text() -> None:
    ours = type("AsyncConcatenateIterator", (abc.AsyncIterator,), {})
    assert shape_of(ours) == Stream(OpenObject(), concatenated=True)


@dataclasses.dataclass
class Data:
    text: str
    scores: list[float] = dataclasses.field(default_factory=list)
    note: str | None = None
    maybe: int | None = dataclasses.field(kw_only=True)


@attrs.define
class Attrs:
    text: str
    count: int = 1


class Typed(typing.TypedDict):
    text: str
    note: typing.NotRequired[str]
    maybe: int | None


@dataclasses.dataclass
class Tree:
    children: list[Tree]


def test_the_fields_of_classes() -> None:
    assert shape_of(Data) == Record(
        (
            RecordField("text", TEXT, required=True),
            RecordField("scores", Array(NUMBER), required=False),
            RecordField("note", Nullable(TEXT), required=False),
            RecordField("maybe", Nullable(WHOLE), required=False),
        )
    )
    assert shape_of(Attrs) == Record(
        (RecordField("text", TEXT, required=True), RecordField("count", WHOLE, required=False))
    )
    assert shape_of(Typed) == Record(
        (
            RecordField("text", TEXT, required=True),
            RecordField("note", TEXT, required=False),
            RecordField("maybe", Nullable(WHOLE), required=True),
        )
    )


def test_a_pydantic_class() -> None:
    import pydantic

    model = pydantic.create_model("Model", text=(str, ...), count=(int, 3))
    assert shape_of(model) == Record(
        (RecordField("text", TEXT, required=True), RecordField("count", WHOLE, required=False))
    )


def test_a_class_that_contains_itself_ends_in_an_open_object() -> None:
    assert shape_of(Tree) == Record((RecordField("children", Array(OpenObject()), required=True),))


def test_an_annotation_that_raises_is_unknown() -> None:
    class Hostile(type):
        def __subclasscheck__(cls, other: type) -> bool:
            raise RuntimeError

        def __getattr__(cls, name: str) -> Any:
            raise RuntimeError(name)

    assert shape_of(Hostile("Annotation", (), {})) == Unknown()
