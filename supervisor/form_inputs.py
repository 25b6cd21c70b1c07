"""What the fields of a form mean, by the model's input schema: a form knows only texts and files.

A text that cannot be what the model wants is left as it is, so that validation names it.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from protocol.errors import NotJson, NotUtf8
from protocol.json_text import DIGITS_MAX, loads
from protocol.limits import LEVELS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from supervisor.model_schema import Node

__all__ = ["WHOLE", "FormField", "form_input"]

WHOLE: Final = "input"
"""The field that holds inputs as one JSON object, unless the model has an input of that name."""

_INTEGER: Final = re.compile(rf"[+-]?[0-9]{{1,{DIGITS_MAX}}}")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

_NESTING_MAX: Final = 20
"""How far references and unions are followed; a document may refer to itself."""


@frozen
class FormField:
    """One part of a form."""

    name: str
    value: str
    """Its text, or a `data:` URL."""
    is_file: bool = False


def form_input(
    fields: Iterable[FormField], properties: Node, document: dict[str, Any] | None
) -> Any:
    """The input that a form means; not an object only if its field `input` is none.

    A name that comes several times is a list. A list of one is told by the model's schema.

    Args:
        fields: in the client's order.
        properties: what the model's schema says of each input; of those that are not there
            nothing is known, and texts stay texts.
        document: where references in `properties` lead.
    """
    types = _Types(properties, document)
    by_name: dict[str, list[FormField]] = {}
    for field in fields:
        by_name.setdefault(field.name, []).append(field)
    values: dict[str, Any] = {}
    if WHOLE in by_name and WHOLE not in types.properties:
        whole = [_parsed(field.value, object) for field in by_name.pop(WHOLE)]
        if len(whole) > 1 or not isinstance(whole[0], dict):
            return whole[0] if len(whole) == 1 else whole
        values = whole[0]
    for name, several in by_name.items():
        values[name] = types.value_of(several, types.properties.get(name))
    return values


class _Types:
    """What the model's schema says of the types of its inputs."""

    def __init__(self, properties: Mapping[str, Any], document: dict[str, Any] | None) -> None:
        self.properties = properties
        self._document = document

    def value_of(self, fields: list[FormField], node: Any) -> Any:
        """What all fields of one name mean."""
        nodes = list(self._resolved(node, _NESTING_MAX))
        kinds = _kinds(nodes)
        if "array" in kinds and "string" not in kinds:
            items = next((node["items"] for node in nodes if "items" in node), None)
            return self._list_of(fields, list(self._resolved(items, _NESTING_MAX)))
        values = [_value(field, kinds) for field in fields]
        return values[0] if len(values) == 1 else values

    def _list_of(self, fields: list[FormField], items: list[Node]) -> list[Any]:
        kinds = _kinds(items)
        # Where a text cannot be an item itself, it may be the list.
        if len(fields) == 1 and kinds and "string" not in kinds and not fields[0].is_file:
            whole = _parsed(fields[0].value, list)
            if isinstance(whole, list):
                return whole
        return [_value(field, kinds) for field in fields]

    def _resolved(self, node: Any, more: int) -> Iterator[Node]:
        """`node`, and all that it refers to or is a union of."""
        if not isinstance(node, dict) or not more:
            return
        yield node
        reference = node.get("$ref")
        if isinstance(reference, str):
            yield from self._resolved(self._referred(reference), more - 1)
        for keyword in ("allOf", "anyOf", "oneOf"):
            variants = node.get(keyword)
            for variant in variants if isinstance(variants, list) else ():
                yield from self._resolved(variant, more - 1)

    def _referred(self, reference: str) -> Any:
        node: Any = self._document
        for step in reference.removeprefix("#/").split("/"):
            node = node.get(step) if isinstance(node, dict) else None
        return node


def _kinds(nodes: Iterable[Node]) -> frozenset[str]:
    """The types that a value may have, in JSON Schema's words; empty: nothing is said of it."""
    kinds: set[Any] = set()
    for node in nodes:
        declared = node.get("type")
        kinds.update(declared if isinstance(declared, list) else [declared])
        if node.get("nullable") is True:
            kinds.add("null")
    return frozenset(kind for kind in kinds if isinstance(kind, str))


def _value(field: FormField, kinds: frozenset[str]) -> Any:
    """What one field means. A text that may be a text is one."""
    text = field.value.strip()
    if field.is_file or "string" in kinds:
        return field.value
    if "null" in kinds and len(kinds) > 1 and text in ("", "null"):
        return None
    if "boolean" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "integer" in kinds and _INTEGER.fullmatch(text):
        return int(text)
    if "number" in kinds and _NUMBER.fullmatch(text):
        return _number(text, field.value)
    if "object" in kinds:
        return _parsed(field.value, dict)
    return field.value


def _number(text: str, otherwise: str) -> Any:
    if _INTEGER.fullmatch(text):
        return int(text)
    number = float(text)
    return number if math.isfinite(number) else otherwise


def _parsed(text: str, kind: type) -> Any:
    """The JSON in `text`, if it is of that type; else `text`."""
    try:
        value = loads(text.encode(), levels=LEVELS_MAX - 2)
    except (NotJson, NotUtf8):
        return text
    return value if isinstance(value, kind) else text
