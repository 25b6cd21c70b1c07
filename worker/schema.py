"""The model's OpenAPI document: read from the image, or made from the live signature.

The document is the one that coglet's build tool writes into an image (`spec/worker.md` 17): the
same components, the same words, the keys of plain objects in alphabetical order.
"""

from __future__ import annotations

import sys
from enum import Enum
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING, Any, Final

from attrs import evolve

from protocol.errors import RemoteProtocolError, Unserialisable
from protocol.json_text import dumps, loads
from worker import shapes
from worker.declared import NO_DEFAULT
from worker.fragments import Node, fragment, in_order, keywords, title_of
from worker.openapi import FIXED_COMPONENTS, Side, document
from worker.shapes import Nullable, without_constraints

if TYPE_CHECKING:
    from worker.predictor import Predictor
    from worker.shapes import Shape
    from worker.signature import Field, Signature

__all__ = ["BUNDLED_SCHEMA", "derive_schema", "model_schema"]

BUNDLED_SCHEMA: Final = ".cog/openapi_schema.json"
"""Where an image has its document, from the working folder."""

_MISSING: Final = object()


def model_schema(predictor: Predictor) -> Node | None:
    """The document of a model; None if there is none. What went wrong is told on `sys.stderr`."""
    bundled = _read_bundled()
    if bundled is not None:
        return bundled
    try:
        derived = derive_schema(run=predictor.runs, train=predictor.trains)
        dumps(derived)  # so that it is known here whether it can be sent
    # Signatures hold objects of the model, which may do anything when they are looked at.
    except Exception as error:
        _warn(f"no schema could be made of the signature ({error!r}): inputs are not checked")
        return None
    return derived


def derive_schema(*, run: Signature | None = None, train: Signature | None = None) -> Node:
    """The document that describes predictions, trainings, or both.

    Raises:
        Exception: whatever an object of the model raised when it was looked at.
    """
    enumerations: Node = {}
    return document(
        None if run is None else _side(run, enumerations),
        # Trainings are never streamed.
        None if train is None else evolve(_side(train, enumerations), is_streaming=False),
        enumerations,
    )


def _side(signature: Signature, enumerations: Node) -> Side:
    properties: Node = {}
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
    output = in_order({**fragment(signature.returns, is_input=False), "title": "Output"})
    return Side(inputs, output, is_streaming=signature.is_streaming)


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
    return shape, None if isinstance(shape, Nullable | shapes.Unknown) else _MISSING


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
    item, _ = without_constraints(item)
    values = constraints.choices or (item.values if isinstance(item, shapes.Choice) else ())
    node: Node = {"x-order": order}
    if values:
        component = _component(enumerations, field.name, _enumeration(field.name, values, item))
        reference = {"$ref": f"#/components/schemas/{component}"}
        if isinstance(inner, shapes.Array):
            node.update(type="array", items=reference, title=title_of(field.name))
        else:
            node["allOf"] = [reference]
        if isinstance(shape, Nullable):
            node["nullable"] = True
    else:
        node.update(fragment(shape, is_input=True), title=title_of(field.name))
    if default is not _MISSING and default is not NO_DEFAULT:
        node["default"] = default
    return in_order(node | keywords(constraints, inner))


def _component(enumerations: Node, name: str, enumeration: Node) -> str:
    """Put an enumeration among the others, and return the name that it has there.

    That is the input's, unless it is taken: by a component that every document has, or by another
    enumeration, as predictions and trainings may have inputs of the same name.
    """
    while name in FIXED_COMPONENTS or enumerations.get(name, enumeration) != enumeration:
        name += "_"
    enumerations[name] = enumeration
    return name


def _enumeration(name: str, values: tuple[Any, ...], shape: Shape) -> Node:
    node: Node = {"description": "An enumeration.", "enum": list(values), "title": name}
    kinds = {_JSON_TYPES.get(type(value)) for value in values}
    kind = shape.value if isinstance(shape, shapes.Scalar) else kinds.pop()
    if isinstance(shape, shapes.Scalar) or not kinds:
        node["type"] = kind
    return {key: value for key, value in node.items() if value is not None}


_JSON_TYPES: Final = {str: "string", int: "integer", float: "number", bool: "boolean"}
