from __future__ import annotations

from typing import Any

import pytest

from supervisor.input_errors import ERRORS_MAX, PARTS_MAX
from supervisor.interface import InputError, InvalidInput
from supervisor.model_schema import (
    MASK,
    MESSAGE_MAX,
    InputSchema,
    ModelSchema,
)

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string", "title": "Text"},
    "n": {"type": "integer", "default": 1, "minimum": 0, "maximum": 5},
    "choice": {"allOf": [{"$ref": "#/components/schemas/choice"}], "default": "ok"},
    "size": {"allOf": [{"$ref": "#/components/schemas/size"}], "nullable": True, "default": 256},
    "maybe": {"type": "string", "nullable": True},
    "masks": {"type": "array", "items": {"type": "string"}, "default": []},
    "key": {"type": "string", "x-cog-secret": True, "nullable": True, "default": None},
    "keys": {"type": "array", "items": {"type": "string", "x-cog-secret": True}, "default": []},
    "pat": {"type": "string", "pattern": "^a.*$", "maxLength": 6, "default": "abc"},
    "either": {
        "anyOf": [{"nullable": True, "type": "string"}, {"nullable": True, "type": "number"}],
        "nullable": True,
        "default": None,
    },
    "nest": {
        "type": "array",
        "items": {"type": "object", "properties": {"k": {"type": "integer"}}, "required": ["k"]},
        "default": [],
    },
}
SCHEMAS: dict[str, Any] = {
    "Input": {"type": "object", "properties": PROPERTIES, "required": ["text"]},
    "Output": {"type": "string"},
    "choice": {"enum": ["ok", "fail"], "type": "string"},
    "size": {"enum": [256, 512], "type": "integer"},
}


def document(**schemas: Any) -> dict[str, Any]:
    return {"components": {"schemas": {**SCHEMAS, **schemas}}, "paths": {"/predictions": {}}}


@pytest.fixture
def schema() -> ModelSchema:
    return ModelSchema(document(), is_train=False)


def errors_of(schema: InputSchema, raw: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as caught:
        schema.clean(raw)
    assert all(error.loc[:2] == ("body", "input") for error in caught.value.errors)
    return [(error.loc[2], error.msg) for error in caught.value.errors]


# The words on the right were all captured from a coglet 0.23.1 server.
@pytest.mark.parametrize(
    ("raw", "errors"),
    [
        ({}, [("text", "Field required")]),
        ({"text": 5}, [("text", '5 is not of type "string"')]),
        ({"text": {"a": 1}}, [("text", '{"a":1} is not of type "string"')]),
        ({"text": None}, [("text", 'null is not of type "string"')]),
        ({"text": "a", "n": 9}, [("n", "9 is greater than the maximum of 5")]),
        ({"text": "a", "n": -1}, [("n", "-1 is less than the minimum of 0")]),
        ({"text": "a", "n": 1.5}, [("n", '1.5 is not of type "integer"')]),
        ({"text": "a", "n": True}, [("n", 'true is not of type "integer"')]),
        ({"text": "a", "choice": "q"}, [("choice", '"q" is not one of ["ok","fail"]')]),
        (
            {"text": "a", "choice": 5},
            [
                ("choice", '5 is not one of ["ok","fail"]'),
                ("choice", '5 is not of type "string"'),
            ],
        ),
        ({"text": "a", "maybe": 5}, [("maybe", '5 is not of type "string"')]),
        ({"text": "a", "masks": ["x", 1]}, [("masks/1", '1 is not of type "string"')]),
        ({"text": "a", "masks": 5}, [("masks", '5 is not of type "array"')]),
        (
            {"text": "a", "pat": "zzzzzzz"},
            [
                ("pat", '"zzzzzzz" is longer than 6 characters'),
                ("pat", '"zzzzzzz" does not match "^a.*$"'),
            ],
        ),
        (
            {"text": "a", "either": []},
            [
                (
                    "either",
                    "[] is not valid under any of the schemas listed in the 'anyOf' keyword",
                )
            ],
        ),
        (
            {"text": "a", "nest": [{"k": "x"}]},
            [("nest/0/k", '"x" is not of type "integer"')],
        ),
        (
            {"n": 9, "choice": "q"},
            [
                ("choice", '"q" is not one of ["ok","fail"]'),
                ("n", "9 is greater than the maximum of 5"),
                ("text", "Field required"),
            ],
        ),
    ],
)
def test_the_errors_are_coglets_in_words_and_order(
    schema: ModelSchema, raw: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    assert errors_of(schema.input, raw) == errors


@pytest.mark.parametrize(
    ("node", "value", "message"),
    [
        ({"exclusiveMinimum": 0}, 0, "0 is less than or equal to the minimum of 0"),
        ({"exclusiveMaximum": 9}, 9, "9 is greater than or equal to the maximum of 9"),
        ({"multipleOf": 4}, 6, "6 is not a multiple of 4"),
        ({"minItems": 1}, [], "[] has less than 1 item"),
        ({"maxItems": 1}, [1, 2], "[1,2] has more than 1 item"),
        ({"items": {"minimum": 0}}, [0, -1], "-1 is less than the minimum of 0"),
    ],
    ids=str,
)
def test_the_constraints_that_coglets_tool_does_not_know_are_checked(
    node: dict[str, Any], value: Any, message: str
) -> None:
    schema = ModelSchema(document(Input={"properties": {"a": node}}), is_train=False)
    ((_, found),) = errors_of(schema.input, {"a": value})
    assert found == message


def test_inputs_that_the_document_wrongly_requires() -> None:
    inputs = {
        "properties": {"text": {"type": "string"}, "anything": {"type": "object"}},
        "required": ["text", "anything"],
    }
    schema = ModelSchema(document(Input=inputs), is_train=False, optional=["anything", "other"])
    assert schema.input.clean({"text": "a"}).values == {"text": "a", "anything": None}
    assert schema.input.clean({"text": "a", "anything": None}).values["anything"] is None
    assert errors_of(schema.input, {"anything": 5}) == [
        ("anything", '5 is not of type "object"'),
        ("text", "Field required"),
    ]
    assert schema.document == document(Input=inputs)
    without_one = ModelSchema(None, is_train=False, optional=["anything"])
    assert without_one.input.clean({"text": 1}).values == {"text": 1}


def test_a_missing_input_has_its_own_type(schema: ModelSchema) -> None:
    with pytest.raises(InvalidInput) as caught:
        schema.input.clean({"n": 9})
    assert caught.value.errors == [
        InputError(("body", "input", "n"), "9 is greater than the maximum of 5", "value_error"),
        InputError(("body", "input", "text"), "Field required", "value_error.missing"),
    ]


def test_a_missing_part_of_an_input_is_reported_too(schema: ModelSchema) -> None:
    # coglet takes it and lets the model fail
    assert errors_of(schema.input, {"text": "a", "nest": [{}]}) == [("nest/0/k", "Field required")]


@pytest.mark.parametrize("name", ["maybe", "size", "key", "either"])
def test_an_explicit_null_fits_every_nullable_input(schema: ModelSchema, name: str) -> None:
    assert schema.input.clean({"text": "a", name: None}).values[name] is None


def test_absent_inputs_become_null_only_if_nullable_and_without_default(
    schema: ModelSchema,
) -> None:
    assert schema.input.clean({"text": "a"}).values == {"text": "a", "maybe": None}


def test_a_required_nullable_input_stays_required() -> None:
    properties = {"x": {"type": "string", "nullable": True}}
    schema = ModelSchema(
        document(Input={"properties": properties, "required": ["x"]}), is_train=False
    )
    assert errors_of(schema.input, {}) == [("x", "Field required")]
    assert schema.input.clean({"x": None}).values == {"x": None}


def test_unknown_names_are_dropped_and_named(schema: ModelSchema) -> None:
    raw = {"z": 1, "text": "a", "b": {"c": []}, "n": 2}
    cleaned = schema.input.clean(raw)
    assert cleaned.dropped == ("z", "b")
    assert cleaned.values == {"text": "a", "n": 2, "maybe": None}
    assert raw == {"z": 1, "text": "a", "b": {"c": []}, "n": 2}


def test_a_schema_that_is_open_drops_nothing() -> None:
    open_schema = {**SCHEMAS["Input"], "additionalProperties": True}
    schema = ModelSchema(document(Input=open_schema), is_train=False)
    cleaned = schema.input.clean({"text": "a", "z": 1})
    assert cleaned.dropped == ()
    assert cleaned.values["z"] == 1


def test_order_and_big_integers_are_kept(schema: ModelSchema) -> None:
    raw = {"nest": [{"z": 1, "k": 10**30, "a": 2}], "n": 1, "text": "a"}
    values = schema.input.clean(raw).values
    assert list(values) == ["nest", "n", "text", "maybe"]
    assert values["nest"] == [{"z": 1, "k": 10**30, "a": 2}]
    assert list(values["nest"][0]) == ["z", "k", "a"]


def test_secrets_are_masked_lists_of_them_too(schema: ModelSchema) -> None:
    values = {"text": "a", "key": "s3cret", "keys": ["k1", "k2"]}
    assert schema.input.mask_secrets(values) == {"text": "a", "key": MASK, "keys": MASK}
    assert values["key"] == "s3cret"
    assert schema.input.mask_secrets({"key": None}) == {"key": None}


def test_an_error_about_a_secret_does_not_quote_it(schema: ModelSchema) -> None:
    errors = errors_of(
        schema.input, {"text": 7, "key": ["s3cret"], "keys": ["fine", {"k": "s3cret"}]}
    )
    assert "s3cret" not in str(errors)
    assert ("text", '7 is not of type "string"') in errors
    assert ("key", f'{MASK} is not of type "string"') in errors


def test_a_big_value_is_not_echoed_whole(schema: ModelSchema) -> None:
    ((_, message),) = errors_of(schema.input, {"text": "a", "pat": "z" * 4 + "y" * 100_000})[1:]
    assert message.startswith('"zzzzyyy')
    assert message.endswith('does not match "^a.*$"')
    assert len(message) < MESSAGE_MAX + 10


def test_the_number_of_errors_is_bounded(schema: ModelSchema) -> None:
    assert len(errors_of(schema.input, {"text": "a", "masks": [1] * 500})) == ERRORS_MAX


def test_a_value_too_deep_for_the_library_is_an_invalid_input(schema: ModelSchema) -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    assert errors_of(schema.input, {"text": deep}) == [
        ("__root__", "the input is nested too deeply")
    ]


@pytest.mark.parametrize(
    "broken",
    [
        None,
        {},
        {"components": 5},
        {"components": {"schemas": []}},
        {"components": {"schemas": {"Input": "x"}}, "paths": []},
    ],
)
def test_without_a_usable_document_everything_is_accepted(broken: dict[str, Any] | None) -> None:
    schema = ModelSchema(broken, is_train=False)
    assert schema.input.clean({"x": [1], "y": None}).values == {"x": [1], "y": None}
    assert not schema.output_is_array
    assert not schema.allows_streaming
    assert not schema.supports_training


@pytest.mark.parametrize(
    "node",
    [{"type": "nonsense"}, {"$ref": "#/components/schemas/none"}, {"$ref": "http://127.0.0.1:9/"}],
)
def test_an_unusable_schema_checks_nothing_and_fetches_nothing(node: dict[str, Any]) -> None:
    schema = ModelSchema(document(Input={"properties": {"x": node}}), is_train=False)
    assert schema.input.clean({"x": 5}).values == {"x": 5}


@pytest.mark.parametrize("is_train", [False, True])
def test_trainings_have_inputs_of_their_own(is_train: bool) -> None:
    training = {"properties": {"steps": {"type": "integer"}}, "required": ["steps"]}
    whole = document(TrainingInput=training, TrainingOutput={"type": "array"})
    schema = ModelSchema(whole, is_train=is_train, optional=["unheard-of"])
    assert errors_of(schema.training_input, {"text": "a"}) == [("steps", "Field required")]
    assert schema.training_input.clean({"steps": 1, "text": "a"}).dropped == ("text",)
    assert errors_of(schema.input, {"steps": 1}) == [("text", "Field required")]
    assert schema.output_is_array is is_train
    assert schema.supports_training


@pytest.mark.parametrize("is_train", [False, True])
def test_what_has_one_kind_of_input_checks_it_whatever_the_route(is_train: bool) -> None:
    only_runs = ModelSchema(document(), is_train=is_train)
    assert errors_of(only_runs.training_input, {}) == [("text", "Field required")]
    assert not only_runs.supports_training
    whole = document(TrainingInput={"required": ["steps"]})
    del whole["components"]["schemas"]["Input"]
    only_trainings = ModelSchema(whole, is_train=is_train)
    assert errors_of(only_trainings.input, {}) == [("steps", "Field required")]


def test_streaming_is_allowed_by_the_marker_alone() -> None:
    whole = document()
    whole["paths"]["/predictions"] = {"post": {"x-cog-streaming": True}}
    assert ModelSchema(whole, is_train=False).allows_streaming
    whole["paths"]["/predictions"] = {"post": {"x-cog-streaming": "yes"}}
    assert not ModelSchema(whole, is_train=False).allows_streaming


def test_a_place_is_not_said_longer_than_a_message() -> None:
    schema = ModelSchema(
        {
            "components": {
                "schemas": {
                    "Input": {
                        "properties": {
                            "a": {"type": "object", "additionalProperties": {"type": "integer"}}
                        }
                    }
                }
            }
        },
        is_train=False,
    )
    with pytest.raises(InvalidInput) as caught:
        schema.input.clean({"a": {"k" * 100_000: "x"}})
    (error,) = caught.value.errors
    assert len(error.loc[2]) < 2000


def test_of_very_many_errors_the_first_is_said_and_no_time_lost() -> None:
    inputs = {
        "properties": {
            "items": {"type": "array", "items": {"type": "string"}},
            "keys": {"type": "array", "items": {"type": "string", "x-cog-secret": True}},
        }
    }
    schema = ModelSchema({"components": {"schemas": {"Input": inputs}}}, is_train=False)
    with pytest.raises(InvalidInput) as caught:
        schema.input.clean({"items": list(range(1_000_000))})
    assert [error.msg for error in caught.value.errors] == ['0 is not of type "string"']
    with pytest.raises(InvalidInput) as caught:
        schema.input.clean({"keys": [*(["hunter2"] * PARTS_MAX), 12345]})
    (error,) = caught.value.errors
    assert error.loc == ("body", "input", f"keys/{PARTS_MAX}")
    assert error.msg == f'{MASK} is not of type "string"'
