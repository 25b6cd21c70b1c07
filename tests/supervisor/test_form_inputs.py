"""What the texts of a form mean to a model."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.form_inputs import FormField, form_input

INTEGER = {"type": "integer"}
CHOICE = {"allOf": [{"$ref": "#/components/schemas/choice"}], "default": 2}
DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "choice": {"type": "integer", "enum": [1, 2]},
            "loop": {"allOf": [{"$ref": "#/components/schemas/loop"}]},
        }
    }
}

DEEP = '{"a":' + "[" * 130 + "]" * 130 + "}"


def meant(node: Any, *texts: str) -> Any:
    fields = [FormField("x", text) for text in texts]
    return form_input(fields, {} if node is None else {"x": node}, DOCUMENT)["x"]


@pytest.mark.parametrize(
    ("node", "text", "value"),
    [
        (INTEGER, "3", 3),
        (INTEGER, " -03 ", -3),
        (INTEGER, "1" * 4300, int("1" * 4300)),
        (INTEGER, "1" * 4301, "1" * 4301),
        (INTEGER, "3.0", "3.0"),
        (INTEGER, "three", "three"),
        (INTEGER, "", ""),
        (INTEGER, "٣", "٣"),
        (INTEGER, "1_000", "1_000"),
        ({"type": "number"}, "3", 3),
        ({"type": "number"}, "-.5e1", -5.0),
        ({"type": "number"}, "1e400", "1e400"),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "number"}, "inf", "inf"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "boolean"}, "1", "1"),
        ({"type": "string"}, "3", "3"),
        ({"type": "string"}, " true ", " true "),
        ({"type": "string", "nullable": True}, "null", "null"),
        ({"type": "integer", "nullable": True}, "null", None),
        ({"type": "integer", "nullable": True}, "", None),
        ({"type": ["integer", "null"]}, "4", 4),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "4", "4"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "true", True),
        (CHOICE, "2", 2),
        ({"$ref": "#/components/schemas/choice"}, "2", 2),
        ({"$ref": "#/components/schemas/loop"}, "2", "2"),
        ({"$ref": "#/nowhere"}, "2", "2"),
        ({"$ref": 5, "allOf": 5}, "2", "2"),
        ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
        ({"type": "object"}, "[1]", "[1]"),
        ({"type": "object"}, "{", "{"),
        ({"type": "object"}, DEEP, DEEP),
        ({}, "3", "3"),
        (None, "3", "3"),
        (5, "3", "3"),
    ],
)
def test_one_text(node: Any, text: str, value: Any) -> None:
    result = meant(node, text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("items", "texts", "value"),
    [
        (INTEGER, ["1", "2"], [1, 2]),
        (INTEGER, ["1"], [1]),
        (INTEGER, ["1", "x"], [1, "x"]),
        (INTEGER, ["[1, 2]"], [1, 2]),
        (INTEGER, ["[1", "2]"], ["[1", "2]"]),
        (CHOICE, ["1", "2"], [1, 2]),
        ({"type": "string"}, ["[1]"], ["[1]"]),
        ({"type": "string"}, ["a", "b"], ["a", "b"]),
        ({"type": "array", "items": INTEGER}, ["[[1],[2]]"], [[1], [2]]),
        ({"type": "object"}, ['{"a":1}', "{}"], [{"a": 1}, {}]),
        (None, ["1", "b"], ["1", "b"]),
        ({}, ["[1]"], ["[1]"]),
    ],
)
def test_a_list_comes_by_repetition(items: Any, texts: list[str], value: Any) -> None:
    node = {"type": "array"} if items is None else {"type": "array", "items": items}
    assert meant(node, *texts) == value
    assert meant({"allOf": [node]}, *texts) == value


def test_what_is_no_list_and_comes_twice_is_left_for_validation() -> None:
    assert meant(INTEGER, "1", "2") == [1, 2]
    assert meant(None, "1", "2") == ["1", "2"]


def test_files_are_what_they_are() -> None:
    file = FormField("x", "data:,3", is_file=True)
    assert form_input([file], {"x": INTEGER}, None) == {"x": "data:,3"}
    assert form_input([file], {"x": {"type": "array", "items": {}}}, None) == {"x": ["data:,3"]}
    assert form_input([file, file], {}, None) == {"x": ["data:,3", "data:,3"]}


def test_inputs_as_a_whole() -> None:
    whole = FormField("input", '{"a": 1, "b": {"c": []}}')
    assert form_input([whole], {"a": INTEGER}, None) == {"a": 1, "b": {"c": []}}
    more = FormField("a", "2")
    assert form_input([more, whole], {"a": INTEGER}, None) == {"a": 2, "b": {"c": []}}
    assert form_input([FormField("input", "[1]")], {}, None) == [1]
    assert form_input([FormField("input", "text")], {}, None) == "text"
    assert form_input([whole, whole], {}, None) == [{"a": 1, "b": {"c": []}}] * 2


def test_a_model_may_have_an_input_called_input() -> None:
    field = FormField("input", '{"a": 1}')
    assert form_input([field], {"input": {"type": "string"}}, None) == {"input": '{"a": 1}'}


def test_no_fields_are_no_inputs() -> None:
    assert form_input([], {"a": INTEGER}, None) == {}
