"""From shapes to the words of JSON Schema, as OpenAPI 3.0 and coglet's build tool use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from worker import shapes

if TYPE_CHECKING:
    from worker.constraints import Constraints
    from worker.shapes import Shape

__all__ = ["Node", "fragment", "in_order", "keywords", "title_of"]

Node: TypeAlias = dict[str, Any]


def fragment(shape: Shape, *, is_input: bool) -> Node:
    """The JSON Schema of a shape, keys in no order."""
    match shape:
        case shapes.Scalar():
            return {"type": shape.value}
        case shapes.FilePath() | shapes.FileStream():
            return {"format": "uri", "type": "string"}
        case shapes.SecretText():
            return {
                "format": "password",
                "type": "string",
                "writeOnly": True,
                "x-cog-secret": True,
            }
        case shapes.Choice(values):
            return {"enum": list(values)}
        case shapes.Array(item):
            return {"items": in_order(fragment(item, is_input=is_input)), "type": "array"}
        case shapes.Stream(item, concatenated):
            node = {"items": in_order(fragment(item, is_input=is_input)), "type": "array"}
            if not is_input:
                node["x-cog-array-type"] = "iterator"
            return {**node, "x-cog-array-display": "concatenate"} if concatenated else node
        case shapes.Nullable(inner):
            return _nullable(inner, is_input=is_input)
        case shapes.Union(variants):
            return {"anyOf": [in_order(fragment(each, is_input=is_input)) for each in variants]}
        case shapes.Unknown():
            return {}
        case shapes.Constrained(inner, constraints):
            return fragment(inner, is_input=is_input) | keywords(constraints, inner)
        case _ if is_input:
            return {"type": "object"}
        case _:
            return _object(shape)


def _nullable(inner: Shape, *, is_input: bool) -> Node:
    node = fragment(inner, is_input=is_input)
    if isinstance(inner, shapes.Union):
        node = {"anyOf": [in_order({**each, "nullable": True}) for each in node["anyOf"]]}
    return {**node, "nullable": True} if node else node


def _object(shape: Shape) -> Node:
    """The objects of an output, whose insides are described."""
    match shape:
        case shapes.Mapping(value):
            inside = in_order(fragment(value, is_input=False))
            return {"additionalProperties": inside, "type": "object"}
        case shapes.Record(fields):
            properties = {
                field.name: in_order(
                    {**fragment(field.shape, is_input=False), "title": title_of(field.name)}
                )
                for field in fields
            }
            node: Node = {"properties": properties, "type": "object"}
            required = [field.name for field in fields if field.required]
            return {**node, "required": required} if required else node
        case _:
            return {"type": "object"}


def keywords(constraints: Constraints, shape: Shape) -> Node:
    """What constraints on a value of this shape come to, beside its fragment; in no order."""
    said: Node = {
        "description": constraints.description,
        "minimum": constraints.ge,
        "maximum": constraints.le,
        "exclusiveMinimum": constraints.gt,
        "exclusiveMaximum": constraints.lt,
        "multipleOf": constraints.multiple_of,
        "pattern": constraints.regex,
        "deprecated": constraints.deprecated or None,
        "x-cog-accept": constraints.accept,
    }
    for noun in _measured(shape):
        said[f"min{noun}"] = constraints.min_length
        said[f"max{noun}"] = constraints.max_length
    return {word: value for word, value in said.items() if value is not None}


def _measured(shape: Shape) -> set[str]:
    """What a length counts: JSON Schema has a word of its own for each kind of value."""
    match shape:
        case shapes.Array() | shapes.Stream():
            return {"Items"}
        case shapes.Mapping() | shapes.Record() | shapes.AnyValue() | shapes.OpenObject():
            return {"Properties"}
        case shapes.Nullable(inner) | shapes.Constrained(inner, _):
            return _measured(inner)
        case shapes.Union(variants):
            return set().union(*map(_measured, variants))
        case _:
            return {"Length"}


def title_of(name: str) -> str:
    """An input's or a field's name in words: `top_label` is `Top Label`."""
    return " ".join(word[:1].upper() + word[1:] for word in name.split("_"))


def in_order(node: Node) -> Node:
    """A plain object as coglet's tool writes it: its keys in alphabetical order."""
    return dict(sorted(node.items()))
