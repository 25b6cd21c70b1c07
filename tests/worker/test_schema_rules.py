"""Spec/worker.md 17.3, row by row: what the published tool makes of it, and what we do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from worker.schema import model_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]

PREAMBLE = """
from __future__ import annotations
from typing import Annotated, Any, Dict, Iterator, List, Literal, Optional, TypedDict, Union
from decimal import Decimal
from cog import BaseModel, ConcatenateIterator, File, Input, Opaque, Path, Secret

N = 7
TEXT = "described"
A = ["x"]
D = {"k": "v", "l": "w"}

class Typed(TypedDict):
    text: str
class Flat(BaseModel):
    top_label: str
    note: Optional[str]
    score: float = 1.0
class Nested(BaseModel):
    flat: Flat
    typed: Typed
class Tree(BaseModel):
    children: list[Tree]

"""

URI = {"format": "uri", "type": "string"}
SECRET = {"format": "password", "type": "string", "writeOnly": True, "x-cog-secret": True}
REFERENCE = {"allOf": [{"$ref": "#/components/schemas/the_input"}]}


@pytest.fixture
def schemas_of(load_model: Load) -> Callable[[str], dict[str, Any]]:
    """The components of the document of a function, given from its parameters on."""

    def make(rest: str) -> dict[str, Any]:
        document = model_schema(load_model(f"{PREAMBLE}def run{rest}: ...\n", "run"))
        assert document is not None
        return document["components"]["schemas"]  # type: ignore[no-any-return]

    return make


def check_input(
    schemas_of: Any, declared: str, fragment: dict[str, Any], *, is_required: bool
) -> None:
    inputs = schemas_of(f"(first: str, the_input: {declared}) -> str")["Input"]
    titled = {} if "allOf" in fragment else {"title": "The Input"}
    assert inputs["properties"]["the_input"] == {**fragment, **titled, "x-order": 1}
    assert inputs["required"] == (["first", "the_input"] if is_required else ["first"])


@pytest.mark.parametrize(
    ("declared", "fragment", "is_required"),
    [
        # str/int/float/bool; Path, File; Secret; Any, dict, TypedDict, Opaque
        ("str", {"type": "string"}, True),
        ("int", {"type": "integer"}, True),
        ("float", {"type": "number"}, True),
        ("bool", {"type": "boolean"}, True),
        ("Path", URI, True),
        ("File", URI, True),
        ("Secret", SECRET, True),
        ("Any", {"type": "object"}, True),
        ("dict", {"type": "object"}, True),
        ("Dict[str, int]", {"type": "object"}, True),
        ("Typed", {"type": "object"}, True),
        ("Annotated[Decimal, Opaque]", {"type": "object"}, True),
        # list[T]
        ("list[int]", {"items": {"type": "integer"}, "type": "array"}, True),
        ("List[Path]", {"items": URI, "type": "array"}, True),
        # Optional
        ("Optional[int]", {"nullable": True, "type": "integer"}, False),
        ("int | None", {"nullable": True, "type": "integer"}, False),
        ("Optional[str] = Input(description='d')",
         {"description": "d", "nullable": True, "type": "string"}, False),
        ("Optional[int] = None", {"default": None, "nullable": True, "type": "integer"}, False),
        # unions of several
        ("Union[str, int]", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, True),
        ("Union[str, int] = 1",
         {"anyOf": [{"type": "string"}, {"type": "integer"}], "default": 1}, False),
        ("str | int | None",
         {"anyOf": [{"nullable": True, "type": "string"}, {"nullable": True, "type": "integer"}],
          "nullable": True}, True),
        ("str | int | None = None",
         {"anyOf": [{"nullable": True, "type": "string"}, {"nullable": True, "type": "integer"}],
          "default": None, "nullable": True}, False),
        # choices
        ("str = Input(choices=['x', 'y'])", REFERENCE, True),
        ("str = Input(choices=['x', 'y'], default='x')", {**REFERENCE, "default": "x"}, False),
        # default=None
        ("int = Input(default=None)", {"type": "integer"}, True),
        ("int = None", {"type": "integer"}, True),
        ("dict = None", {"type": "object"}, True),
        ("Any = None", {"type": "object"}, True),
        ("Secret = Input(default=None)", {**SECRET, "default": None, "nullable": True}, False),
        # module-level constants
        ("int = Input(default=N)", {"default": 7, "type": "integer"}, False),
        ("int = N", {"default": 7, "type": "integer"}, False),
        ("str = Input(description=TEXT)", {"description": "described", "type": "string"}, True),
        # literals of limits
        ("int = Input(ge=1, le=5)", {"maximum": 5, "minimum": 1, "type": "integer"}, True),
        ("str = Input(min_length=1, max_length=5, regex='^a')",
         {"maxLength": 5, "minLength": 1, "pattern": "^a", "type": "string"}, True),
        ("str = Input(deprecated=True)", {"deprecated": True, "type": "string"}, True),
        ("Path = Input(accept='image/*')", {**URI, "x-cog-accept": "image/*"}, True),
    ],
)  # fmt: skip
def test_inputs_are_the_tools(
    declared: str, fragment: dict[str, Any], is_required: bool, schemas_of: Any
) -> None:
    check_input(schemas_of, declared, fragment, is_required=is_required)


@pytest.mark.parametrize(
    ("choices", "kind", "values"),
    [
        ("['x', 'y']", "string", ["x", "y"]),
        ("[1, 2]", "integer", [1, 2]),
        ("A + ['y']", "string", ["x", "y"]),
        ("list(D.keys())", "string", ["k", "l"]),
        ("list(D.values())", "string", ["v", "w"]),
    ],
)
def test_choices_are_the_tools(choices: str, kind: str, values: list[Any], schemas_of: Any) -> None:
    python = {"string": "str", "integer": "int"}[kind]
    schemas = schemas_of(f"(the_input: {python} = Input(choices={choices})) -> str")
    assert schemas["the_input"] == {
        "description": "An enumeration.",
        "enum": values,
        "title": "the_input",
        "type": kind,
    }
    assert list(schemas)[:3] == ["Input", "Output", "the_input"]


FLAT = {
    "properties": {
        "top_label": {"title": "Top Label", "type": "string"},
        "note": {"nullable": True, "title": "Note", "type": "string"},
        "score": {"title": "Score", "type": "number"},
    },
    "required": ["top_label"],
    "type": "object",
}
TYPED = {
    "properties": {"text": {"title": "Text", "type": "string"}},
    "required": ["text"],
    "type": "object",
}
ITEMS = {"items": {"type": "string"}, "type": "array", "x-cog-array-type": "iterator"}


@pytest.mark.parametrize(
    ("returned", "schema"),
    [
        ("Flat", FLAT),
        ("Typed", TYPED),
        ("Nested", {
            "properties": {"flat": {**FLAT, "title": "Flat"}, "typed": {**TYPED, "title": "Typed"}},
            "required": ["flat", "typed"],
            "type": "object",
        }),
        ("Tree", {
            "properties": {
                "children": {"items": {"type": "object"}, "title": "Children", "type": "array"}
            },
            "required": ["children"],
            "type": "object",
        }),
        ("dict[str, int]", {"additionalProperties": {"type": "integer"}, "type": "object"}),
        ("Iterator[str]", ITEMS),
        ("ConcatenateIterator[str]", {**ITEMS, "x-cog-array-display": "concatenate"}),
        ("list", {"items": {"type": "object"}, "type": "array"}),
        ("Path", URI),
    ],
)  # fmt: skip
def test_outputs_are_the_tools(returned: str, schema: dict[str, Any], schemas_of: Any) -> None:
    assert schemas_of(f"() -> {returned}")["Output"] == {**schema, "title": "Output"}


# What the tool, which never runs the model, refuses, or drops without a word.
@pytest.mark.parametrize(
    ("declared", "fragment", "is_required"),
    [
        # dropped by the tool
        ("int = Input(ge=N)", {"minimum": 7, "type": "integer"}, True),
        ("str = Input('x')", {"default": "x", "type": "string"}, False),
        ("int = Input(default=int('3'))", {"default": 3, "type": "integer"}, False),
        # refused by it
        ("int = int('3')", {"default": 3, "type": "integer"}, False),
        ("Literal['x', 'y']", REFERENCE, True),
        ("str = Input(choices=sorted(A))", REFERENCE, True),
        ("Path | str", {"anyOf": [URI, {"type": "string"}]}, True),
        ("tuple[int, ...]", {"items": {"type": "integer"}, "type": "array"}, True),
        ("list[list[int]]",
         {"items": {"items": {"type": "integer"}, "type": "array"}, "type": "array"}, True),
        ("list[Optional[int]]",
         {"items": {"nullable": True, "type": "integer"}, "type": "array"}, True),
        ("Decimal", {}, True),
    ],
)  # fmt: skip
def test_inputs_where_we_do_more(
    declared: str, fragment: dict[str, Any], is_required: bool, schemas_of: Any
) -> None:
    check_input(schemas_of, declared, fragment, is_required=is_required)


def test_inputs_without_an_annotation_take_anything(schemas_of: Any) -> None:
    inputs = schemas_of("(a, b=2, c=None)")["Input"]
    assert inputs["properties"] == {
        "a": {"title": "A", "x-order": 0},
        "b": {"default": 2, "title": "B", "x-order": 1},
        "c": {"default": None, "title": "C", "x-order": 2},
    }
    assert inputs["required"] == ["a"]


@pytest.mark.parametrize(
    ("returned", "schema"),
    [
        ("-> Optional[int]", {"nullable": True, "type": "integer"}),
        ("-> None", {}),
        ("", {}),
        ("-> tuple[int, ...]", {"items": {"type": "integer"}, "type": "array"}),
        ("-> list[list[int]]",
         {"items": {"items": {"type": "integer"}, "type": "array"}, "type": "array"}),
        ("-> Decimal", {}),
    ],
)  # fmt: skip
def test_outputs_where_we_do_more(returned: str, schema: dict[str, Any], schemas_of: Any) -> None:
    assert schemas_of(f"() {returned}")["Output"] == {**schema, "title": "Output"}
