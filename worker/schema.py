"""The model's OpenAPI document: read from the image, or made from the live signature.

The document is the one that coglet's build tool writes into an image (`spec/worker.md` 17): the
same components, the same words, the keys of plain objects in alphabetical order.
"""

from __future__ import annotations

import sys
from enum import Enum
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from protocol.errors import RemoteProtocolError, Unserialisable
from protocol.json_text import dumps, loads
from worker import shapes
from worker.openapi import document
from worker.shapes import Nullable
from worker.signature import NO_DEFAULT

if TYPE_CHECKING:
    from worker.predictor import Predictor
    from worker.shapes import Shape
    from worker.signature import Field, Signature

__all__ = ["BUNDLED_SCHEMA", "derive_schema", "model_schema"]

BUNDLED_SCHEMA: Final = ".cog/openapi_schema.json"
"""Where an image has its document, from the working folder."""

Node: TypeAlias = dict[str, Any]

_MISSING: Final = object()


def model_schema(predictor: Predictor, *, is_train: bool) -> Node | None:
    """The document of a model; None if there is none. What went wrong is told on `sys.stderr`."""
    bundled = _read_bundled()
    if bundled is not None:
        return bundled
    try:
        return derive_schema(predictor.signature, is_train=is_train)
    # Signatures hold objects of the model, which may do anything when they are looked at.
    except Exception as error:
        _warn(f"no schema could be made of the signature ({error!r}): inputs are not checked")
        return None


def derive_schema(signature: Signature, *, is_train: bool) -> Node:
    """The document that describes a signature.

    Raises:
        Exception: whatever an object of the model raised when it was looked at.
    """
    properties: Node = {}
    enumerations: Node = {}
    required = []
    for order, field in enumerate(signature.fields):
        shape, default = _effective(field)
        properties[field.name] = _property(field, shape, default, order, enumerations)
        is_optional = isinstance(shape, Nullable) and not isinstance(shape.inner, shapes.Union)
        if default is _MISSING and not is_optional:
            required.append(field.name)
    inputs: Node = {"properties": properties}
    if signature.takes_anything:
        inputs["additionalProperties"] = True
    if required:
        inputs["required"] = required
    inputs["type"] = "object"
    output = {**_fragment(signature.returns, is_input=False), "title": "Output"}
    return document(
        inputs,
        _sorted(output),
        enumerations,
        is_train=is_train,
        is_streaming=signature.is_streaming,
    )


def _read_bundled() -> Node | None:
    try:
        with open(BUNDLED_SCHEMA, "rb") as file:
            found = loads(file.read())
    except FileNotFoundError:
        return None
    except (OSError, RemoteProtocolError) as error:
        _warn(f"{BUNDLED_SCHEMA} cannot be read, using the live signature instead: {error}")
        return None
    if not isinstance(found, dict):
        _warn(f"{BUNDLED_SCHEMA} is not an object, using the live signature instead")
        return None
    return found


def _warn(text: str) -> None:
    sys.stderr.write(f"coglet-trio: {text}\n")


def _effective(field: Field) -> tuple[Shape, Any]:
    """A field's shape and its default as a client sees them.

    None is no default where null is not allowed ("make a value when it runs"), but makes a secret
    optional. A default that JSON cannot say is one all the same: it is `NO_DEFAULT` here.
    """
    shape, default = field.shape, field.default
    if default is NO_DEFAULT:
        return shape, _MISSING
    if default is not None:
        return shape, _json_default(default)
    if not field.is_written:
        return shape, _MISSING
    if isinstance(shape, shapes.SecretText):
        shape = Nullable(shape)
    return shape, None if isinstance(shape, Nullable) else _MISSING


def _json_default(default: Any) -> Any:
    if isinstance(default, Enum):
        return _json_default(default.value)
    if isinstance(default, PathLike):
        return str(default)
    if callable(getattr(default, "get_secret_value", None)):
        return NO_DEFAULT
    if isinstance(default, float) and not isfinite(default):
        return NO_DEFAULT
    try:
        return loads(dumps(default))
    except Unserialisable:
        return NO_DEFAULT


def _property(field: Field, shape: Shape, default: Any, order: int, enumerations: Node) -> Node:
    """What the document says of one input; its choices go into `enumerations`."""
    constraints = field.constraints
    inner = shape.inner if isinstance(shape, Nullable) else shape
    item = inner.item if isinstance(inner, shapes.Array) else inner
    values = constraints.choices or (item.values if isinstance(item, shapes.Choice) else ())
    node: Node = {"x-order": order}
    if values:
        enumerations[field.name] = _enumeration(field.name, values, item)
        reference = {"$ref": f"#/components/schemas/{field.name}"}
        if isinstance(inner, shapes.Array):
            node.update(type="array", items=reference, title=_title(field.name))
        else:
            node["allOf"] = [reference]
        if isinstance(shape, Nullable):
            node["nullable"] = True
    else:
        node.update(_fragment(shape, is_input=True), title=_title(field.name))
    if default is not _MISSING and default is not NO_DEFAULT:
        node["default"] = default
    for key, value in (
        ("description", constraints.description),
        ("minimum", constraints.ge),
        ("maximum", constraints.le),
        ("minLength", constraints.min_length),
        ("maxLength", constraints.max_length),
        ("pattern", constraints.regex),
        ("deprecated", constraints.deprecated or None),
        ("x-cog-accept", constraints.accept),
    ):
        if value is not None:
            node[key] = value
    return _sorted(node)


def _enumeration(name: str, values: tuple[Any, ...], shape: Shape) -> Node:
    node: Node = {"description": "An enumeration.", "enum": list(values), "title": name}
    kinds = {_JSON_TYPES.get(type(value)) for value in values}
    kind = shape.value if isinstance(shape, shapes.Scalar) else kinds.pop()
    if isinstance(shape, shapes.Scalar) or not kinds:
        node["type"] = kind
    return {key: value for key, value in node.items() if value is not None}


_JSON_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _fragment(shape: Shape, *, is_input: bool) -> Node:
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
            return {"items": _sorted(_fragment(item, is_input=is_input)), "type": "array"}
        case shapes.Stream(item, concatenated):
            node = {"items": _sorted(_fragment(item, is_input=is_input)), "type": "array"}
            if not is_input:
                node["x-cog-array-type"] = "iterator"
            return {**node, "x-cog-array-display": "concatenate"} if concatenated else node
        case shapes.Nullable(inner):
            return _nullable(inner, is_input=is_input)
        case shapes.Union(variants):
            return {"anyOf": [_sorted(_fragment(each, is_input=is_input)) for each in variants]}
        case shapes.Unknown():
            return {}
        case _ if is_input:
            return {"type": "object"}
        case _:
            return _object(shape)


def _nullable(inner: Shape, *, is_input: bool) -> Node:
    node = _fragment(inner, is_input=is_input)
    if isinstance(inner, shapes.Union):
        node = {"anyOf": [_sorted({**each, "nullable": True}) for each in node["anyOf"]]}
    return {**node, "nullable": True} if node else node


def _object(shape: Shape) -> Node:
    """The objects of an output, whose insides are described."""
    match shape:
        case shapes.Mapping(value):
            inside = _sorted(_fragment(value, is_input=False))
            return {"additionalProperties": inside, "type": "object"}
        case shapes.Record(fields):
            properties = {
                field.name: _sorted(
                    {**_fragment(field.shape, is_input=False), "title": _title(field.name)}
                )
                for field in fields
            }
            node: Node = {"properties": properties, "type": "object"}
            required = [field.name for field in fields if field.required]
            return {**node, "required": required} if required else node
        case _:
            return {"type": "object"}


def _title(name: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in name.split("_"))


def _sorted(node: Node) -> Node:
    return dict(sorted(node.items()))
