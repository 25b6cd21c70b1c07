from __future__ import annotations

import dataclasses
import enum
import json
import typing
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import annotated_types as at
import pytest

from worker.predictor import load_predictor
from worker.schema import derive_schema, model_schema
from worker.signature import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.predictor import Predictor

    Load = Callable[..., Predictor]

TESTS = Path(__file__).parents[1]
EXAMPLE = json.loads((TESTS / "worker" / "schema_example.json").read_text())


@pytest.fixture
def example(load_model: Load) -> dict[str, Any]:
    """What we make of the worked example of spec/worker.md 17.4."""
    reference = f"{TESTS / 'models' / 'schema_example.py'}:Runner"
    predictor = load_predictor(reference, is_train=False)
    document = model_schema(predictor)
    assert document is not None
    return document


def inputs_of(function: Callable[..., Any]) -> dict[str, Any]:
    document = derive_schema(run=signature_of(function))
    return document["components"]["schemas"]["Input"]  # type: ignore[no-any-return]


def output_of(annotation: Any) -> dict[str, Any]:
    def run() -> None: ...

    run.__annotations__ = {"return": annotation}
    document = derive_schema(run=signature_of(run))
    return document["components"]["schemas"]["Output"]  # type: ignore[no-any-return]


def property_of(annotation: Any, **more: Any) -> dict[str, Any]:
    """What an input called `a` becomes, without what all inputs have."""

    def run(a: Any) -> None: ...

    run.__annotations__ = {"a": annotation}
    if "default" in more:
        run.__defaults__ = (more["default"],)
    found = dict(inputs_of(run)["properties"]["a"])
    assert found.pop("x-order") == 0
    assert found.pop("title", "A") == "A"
    return found


# --- the published tool's example -------------------------------------------------------------


@pytest.mark.parametrize("component", EXAMPLE["schemas"])
def test_each_component_of_the_example(component: str, example: dict[str, Any]) -> None:
    ours = example["components"]["schemas"][component]
    assert json.dumps(ours) == json.dumps(EXAMPLE["schemas"][component])


@pytest.mark.parametrize("path", EXAMPLE["paths"])
def test_each_path_of_the_example(path: str, example: dict[str, Any]) -> None:
    assert json.dumps(example["paths"][path]) == json.dumps(EXAMPLE["paths"][path])


def test_the_rest_of_the_example(example: dict[str, Any]) -> None:
    assert list(example) == ["components", "info", "openapi", "paths"]
    assert list(example["components"]["schemas"]) == list(EXAMPLE["schemas"])
    assert list(example["paths"]) == list(EXAMPLE["paths"])
    assert example["openapi"] == "3.0.2"
    assert example["info"]["title"] == "Cog"


# --- inputs -----------------------------------------------------------------------------------


class Style(enum.Enum):
    PHOTO = "photo"
    ART = "art"


class Marker: ...


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (Path, {"format": "uri", "type": "string"}),
        (typing.BinaryIO, {"format": "uri", "type": "string"}),
        (list[Path], {"items": {"format": "uri", "type": "string"}, "type": "array"}),
        (tuple[int, ...], {"items": {"type": "integer"}, "type": "array"}),
        (Iterator[int], {"items": {"type": "integer"}, "type": "array"}),
        (dict[str, int], {"type": "object"}),
        (Point, {"type": "object"}),
        (list[Point], {"items": {"type": "object"}, "type": "array"}),
        (int | None, {"nullable": True, "type": "integer"}),
        (str | int, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (Marker, {}),
        (Marker | None, {}),
        ("NotThere", {}),
        (bytes, {}),
    ],
    ids=str,
)
def test_types_of_inputs(annotation: Any, schema: dict[str, Any]) -> None:
    assert property_of(annotation) == schema


def test_choices_by_enumeration_and_literal() -> None:
    def run(
        style: Style,
        size: typing.Literal[256, 512] = 256,
        mixed: typing.Literal["a", 1] | None = None,
        many: list[Style] = [],  # noqa: B006
    ) -> None: ...

    document = derive_schema(run=signature_of(run))
    schemas = document["components"]["schemas"]
    assert schemas["Input"]["properties"] == {
        "style": {"allOf": [{"$ref": "#/components/schemas/style"}], "x-order": 0},
        "size": {"allOf": [{"$ref": "#/components/schemas/size"}], "default": 256, "x-order": 1},
        "mixed": {
            "allOf": [{"$ref": "#/components/schemas/mixed"}],
            "default": None,
            "nullable": True,
            "x-order": 2,
        },
        "many": {
            "default": [],
            "items": {"$ref": "#/components/schemas/many"},
            "title": "Many",
            "type": "array",
            "x-order": 3,
        },
    }
    assert schemas["style"] == {
        "description": "An enumeration.",
        "enum": ["photo", "art"],
        "title": "style",
        "type": "string",
    }
    assert schemas["size"]["type"] == "integer"
    assert "type" not in schemas["mixed"]
    assert schemas["Input"]["required"] == ["style"]


def test_choices_whose_component_name_is_taken() -> None:
    def run(
        Status: typing.Literal["x"],
        Status_: typing.Literal["y"],
        Output: typing.Literal["z"],
        TrainingInput: typing.Literal["t"],
    ) -> None: ...

    schemas = derive_schema(run=signature_of(run))["components"]["schemas"]
    assert schemas["Status"]["enum"][0] == "starting"
    assert schemas["Output"] == {"title": "Output"}
    assert "TrainingInput" not in schemas
    for name, value in (("Status", "x"), ("Status_", "y"), ("Output", "z"), ("TrainingInput", "t")):
        (reference,) = schemas["Input"]["properties"][name]["allOf"]
        component = reference["$ref"].rpartition("/")[2]
        assert (schemas[component]["enum"], schemas[component]["title"]) == ([value], name)


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (int, 3, {"default": 3, "type": "integer"}),
        (list[int], (1, 2), {"default": [1, 2], "items": {"type": "integer"}, "type": "array"}),
        (Path, Path("a/b"), {"default": "a/b", "format": "uri", "type": "string"}),
        (float, float("nan"), {"type": "number"}),
        (Marker, Marker(), {}),
    ],
    ids=str,
)
def test_defaults(annotation: Any, default: Any, expected: dict[str, Any]) -> None:
    assert property_of(annotation, default=default) == expected


def test_a_default_that_json_cannot_say_makes_an_input_optional_all_the_same() -> None:
    def run(
        a: Marker = Marker(),  # noqa: B008
        b: int = None,  # type: ignore[assignment]  # noqa: RUF013
        c: int | None = None,
        d: str | int | None = 1,
    ) -> None: ...

    assert inputs_of(run)["required"] == ["b"]


def test_a_default_that_is_an_enumeration() -> None:
    def run(a: Style = Style.ART) -> None: ...

    assert inputs_of(run)["properties"]["a"]["default"] == "art"


def test_secrets(load_model: Load) -> None:
    predictor = load_model(
        """
        from typing import Optional
        from cog import Input, Secret
        def run(
            needed: Secret, described: Secret = Input(description="d"),
            optional: Optional[Secret] = None, default: Secret = Input(default=None),
            shown: Secret = Secret("do not show"),
        ) -> str: ...
        """,
        "run",
    )
    document = derive_schema(run=predictor.signature)
    inputs = document["components"]["schemas"]["Input"]
    assert inputs["required"] == ["needed", "described"]
    assert all(each["x-cog-secret"] and each["writeOnly"] for each in inputs["properties"].values())
    assert "nullable" not in inputs["properties"]["needed"]
    assert inputs["properties"]["default"]["nullable"] is True
    assert "do not show" not in json.dumps(document)


def test_a_nullable_union_needs_a_value_unless_it_has_a_default() -> None:
    def run(a: str | int | None, b: str | None) -> None: ...

    assert inputs_of(run)["required"] == ["a"]


def test_other_names_are_allowed_where_the_function_takes_them() -> None:
    def run(a: int, **others: Any) -> None: ...

    def strict(a: int) -> None: ...

    assert inputs_of(run)["additionalProperties"] is True
    assert "additionalProperties" not in inputs_of(strict)


def test_a_function_without_inputs() -> None:
    assert inputs_of(lambda: None) == {"properties": {}, "title": "Input", "type": "object"}


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (
            Annotated[float, at.Ge(0.5), at.Le(2)],
            {"maximum": 2, "minimum": 0.5, "type": "number"},
        ),
        (
            Annotated[int, at.Gt(0), at.Lt(9), at.MultipleOf(2)],
            {"exclusiveMaximum": 9, "exclusiveMinimum": 0, "multipleOf": 2, "type": "integer"},
        ),
        (Annotated[str, at.Len(1, 5)], {"maxLength": 5, "minLength": 1, "type": "string"}),
        (
            Annotated[list[str], at.Len(1, 5)],
            {"items": {"type": "string"}, "maxItems": 5, "minItems": 1, "type": "array"},
        ),
        (
            Annotated[set[int], at.MinLen(2)],
            {"items": {"type": "integer"}, "minItems": 2, "type": "array"},
        ),
        (Annotated[dict[str, int], at.MaxLen(3)], {"maxProperties": 3, "type": "object"}),
        (
            list[Annotated[str, at.MinLen(1)]],
            {"items": {"minLength": 1, "type": "string"}, "type": "array"},
        ),
        (
            Annotated[list[Annotated[int, at.Ge(0)]] | None, at.MinLen(1)],
            {
                "items": {"minimum": 0, "type": "integer"},
                "minItems": 1,
                "nullable": True,
                "type": "array",
            },
        ),
        (
            Annotated[int, at.Ge(1)] | None,
            {"minimum": 1, "nullable": True, "type": "integer"},
        ),
        (
            Annotated[int, at.Ge(1)] | Annotated[str, at.MinLen(2)],
            {"anyOf": [{"minimum": 1, "type": "integer"}, {"minLength": 2, "type": "string"}]},
        ),
        (
            Annotated[str | list[str], at.MinLen(2)],
            {
                "anyOf": [{"type": "string"}, {"items": {"type": "string"}, "type": "array"}],
                "minItems": 2,
                "minLength": 2,
            },
        ),
        (
            Annotated[list[typing.Literal["a", "b"]], at.MinLen(1)],
            {"items": {"$ref": "#/components/schemas/a"}, "minItems": 1, "type": "array"},
        ),
        (
            list[Annotated[typing.Literal["a", "b"], "one of them"]],
            {"items": {"$ref": "#/components/schemas/a"}, "type": "array"},
        ),
    ],
    ids=str,
)
def test_constraints_of_annotations(annotation: Any, schema: dict[str, Any]) -> None:
    assert property_of(annotation) == schema


# --- outputs ----------------------------------------------------------------------------------


class Inner(typing.TypedDict):
    value: float


@dataclasses.dataclass
class Answer:
    top_label: str
    inner: Inner
    image: Path
    note: str | None = None
    more: dict[str, list[int]] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (Path, {"format": "uri", "type": "string"}),
        (Any, {"type": "object"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"additionalProperties": {"type": "integer"}, "type": "object"}),
        (list, {"items": {"type": "object"}, "type": "array"}),
        (list[Path], {"items": {"format": "uri", "type": "string"}, "type": "array"}),
        (str | None, {"nullable": True, "type": "string"}),
        (Style, {"enum": ["photo", "art"]}),
        (Marker, {}),
        (None, {}),
        (
            AsyncIterator[str],
            {"items": {"type": "string"}, "type": "array", "x-cog-array-type": "iterator"},
        ),
    ],
    ids=str,
)
def test_types_of_outputs(annotation: Any, schema: dict[str, Any]) -> None:
    assert output_of(annotation) == {**schema, "title": "Output"}


def test_an_output_with_fields() -> None:
    assert output_of(Answer) == {
        "properties": {
            "top_label": {"title": "Top Label", "type": "string"},
            "inner": {
                "properties": {"value": {"title": "Value", "type": "number"}},
                "required": ["value"],
                "title": "Inner",
                "type": "object",
            },
            "image": {"format": "uri", "title": "Image", "type": "string"},
            "note": {"nullable": True, "title": "Note", "type": "string"},
            "more": {
                "additionalProperties": {"items": {"type": "integer"}, "type": "array"},
                "title": "More",
                "type": "object",
            },
        },
        "required": ["top_label", "inner", "image"],
        "title": "Output",
        "type": "object",
    }


def test_an_output_of_the_sdks_model_class(load_model: Load) -> None:
    predictor = load_model(
        """
        from cog import BaseModel, Path
        class Answer(BaseModel):
            text: str
            file: Path
        class Predictor:
            def run(self) -> Answer: ...
        """
    )
    document = derive_schema(run=predictor.signature)
    assert document["components"]["schemas"]["Output"]["required"] == ["text", "file"]


# --- trainings --------------------------------------------------------------------------------


def test_a_training_document() -> None:
    def train(steps: int) -> str: ...  # type: ignore[empty-body]

    document = derive_schema(train=signature_of(train))
    schemas = document["components"]["schemas"]
    assert list(schemas)[:4] == [
        "TrainingInput",
        "TrainingOutput",
        "TrainingRequest",
        "TrainingResponse",
    ]
    assert schemas["TrainingInput"]["title"] == "TrainingInput"
    assert schemas["TrainingOutput"] == {"title": "Output", "type": "string"}
    assert schemas["TrainingRequest"]["properties"]["input"] == {
        "$ref": "#/components/schemas/TrainingInput"
    }
    assert list(document["paths"]) == [
        "/",
        "/health-check",
        "/trainings",
        "/trainings/{training_id}/cancel",
    ]
    post = document["paths"]["/trainings"]["post"]
    assert post["operationId"] == "train_trainings_post"
    assert post["summary"] == "Train"
    assert post["description"] == "Run a single training on the model"
    cancel = document["paths"]["/trainings/{training_id}/cancel"]["post"]
    assert cancel["operationId"] == "cancel_trainings__training_id__cancel_post"
    assert cancel["parameters"][0]["schema"] == {"title": "Training Id", "type": "string"}


SOURCE_OF_BOTH = """
    from typing import Literal
    from cog import streaming, ConcatenateIterator
    class Predictor:
        @streaming
        def run(
            self, zoom: int, style: Literal["a"], same: Literal["s"]
        ) -> ConcatenateIterator[str]: ...
        @streaming
        def train(self, steps: int, style: Literal["b"], same: Literal["s"]) -> int: ...
    """


@pytest.mark.parametrize("is_train", [False, True])
def test_a_model_that_can_predict_and_be_trained_has_both_in_alphabetical_order(
    is_train: bool, load_model: Load
) -> None:
    predictor = load_model(SOURCE_OF_BOTH, is_train=is_train)
    document = model_schema(predictor)
    assert document is not None
    assert json.dumps(document) == json.dumps(document, sort_keys=True)
    assert list(document["paths"]) == [
        "/",
        "/health-check",
        "/predictions",
        "/predictions/{prediction_id}/cancel",
        "/trainings",
        "/trainings/{training_id}/cancel",
    ]
    alone = [derive_schema(run=predictor.runs), derive_schema(train=predictor.trains)]
    schemas = document["components"]["schemas"]
    for one in alone:
        assert document["paths"].items() >= one["paths"].items()
        for name in set(one["components"]["schemas"]) - {"TrainingInput", "style"}:
            assert schemas[name] == one["components"]["schemas"][name]
    assert "x-cog-streaming" in document["paths"]["/predictions"]["post"]
    assert "x-cog-streaming" not in document["paths"]["/trainings"]["post"]


def test_choices_of_predictions_and_trainings_do_not_mix(load_model: Load) -> None:
    document = model_schema(load_model(SOURCE_OF_BOTH))
    assert document is not None
    schemas = document["components"]["schemas"]
    for component, choices in (("Input", ["a"]), ("TrainingInput", ["b"])):
        (reference,) = schemas[component]["properties"]["style"]["allOf"]
        assert schemas[reference["$ref"].rpartition("/")[2]]["enum"] == choices
        (reference,) = schemas[component]["properties"]["same"]["allOf"]
        assert reference == {"$ref": "#/components/schemas/same"}


TORCH_MODULE = """
    class P:
        def run(self): ...
        def train(self, mode=True): ...
    P.train.__module__ = "torch.nn.modules.module"
    """


@pytest.mark.parametrize(
    ("source", "name", "is_train", "paths"),
    [
        ("def run(): ...", "run", False, {"/predictions"}),
        ("def train(): ...", "train", True, {"/trainings"}),
        ("class P:\n    def train(self): ...", "P", True, {"/trainings"}),
        ("class P:\n    def run(self): ...", "P", False, {"/predictions"}),
        (
            "class P:\n    def __call__(self): ...\n    def train(self): ...\np = P()",
            "p",
            True,
            {"/predictions", "/trainings"},
        ),
        (TORCH_MODULE, "P", False, {"/predictions"}),
    ],
)
def test_what_a_model_can_do_is_in_its_document(
    source: str, name: str, is_train: bool, paths: set[str], load_model: Load
) -> None:
    document = model_schema(load_model(source, name, is_train=is_train))
    assert document is not None
    assert {path for path in document["paths"] if path.endswith("s")} == paths


# --- where it comes from ----------------------------------------------------------------------


@pytest.fixture
def predictor(load_model: Load) -> Predictor:
    return load_model("class Predictor:\n    def run(self, n: int) -> int: ...")


def test_the_documents_of_the_image_comes_first(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / ".cog").mkdir()
    (tmp_path / ".cog" / "openapi_schema.json").write_text('{"z": 1, "a": 2}')
    assert json.dumps(model_schema(predictor)) == '{"z": 1, "a": 2}'


@pytest.mark.parametrize("text", ["not JSON", "[]", b"\xff"])
def test_a_broken_document_of_the_image_is_replaced_with_a_warning(
    text: str | bytes, predictor: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".cog").mkdir()
    content = text if isinstance(text, bytes) else text.encode()
    (tmp_path / ".cog" / "openapi_schema.json").write_bytes(content)
    document = model_schema(predictor)
    assert document is not None
    assert list(document["components"]["schemas"]["Input"]["properties"]) == ["n"]
    assert ".cog/openapi_schema.json" in capsys.readouterr().err


def test_an_enumeration_whose_values_json_cannot_say_restricts_nothing(load_model: Load) -> None:
    predictor = load_model(
        """
        import enum
        class Odd(enum.Enum):
            A = object()
        def run(a: Odd, b: Odd = Odd.A): ...
        """,
        "run",
    )
    document = model_schema(predictor)
    assert document is not None
    inputs = document["components"]["schemas"]["Input"]
    assert inputs["properties"]["a"] == {"title": "A", "x-order": 0}
    assert inputs["required"] == ["a"]


def test_what_cannot_be_sent_is_no_document(
    load_model: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "from cog import Input\ndef run(a: str = Input(choices=[object(), 'x'])): ..."
    assert model_schema(load_model(source, "run")) is None
    assert "inputs are not checked" in capsys.readouterr().err


def test_without_a_document_inputs_are_not_checked_and_that_is_said(
    load_model: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = load_model(
        """
        class Hostile:
            def __getattr__(self, name):
                raise RuntimeError("do not look at me")
        class Predictor:
            def run(self, n=Hostile()): ...
        """
    )
    assert model_schema(predictor) is None
    assert "do not look at me" in capsys.readouterr().err
