"""Everything that the supervisor reads out of the model's OpenAPI document.

The document comes from the worker, ours or a foreign one, so nothing in it is taken for granted:
what is missing or of another shape than expected restricts nothing.

The words of the errors are coglet's (`spec/http-api.md`, "Bad requests"). Most of them are those
of the Rust library that both of us use; the rest is worded here from the kind of the error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import jsonschema_rs
import structlog
from attrs import frozen

from protocol.json_text import dumps
from supervisor.input_errors import errors_in
from supervisor.interface import InputError, InvalidInput

__all__ = [
    "MASK",
    "CleanedInput",
    "InputSchema",
    "ModelSchema",
    "Node",
    "documents_streaming",
    "documents_training",
]

log = structlog.get_logger("supervisor.model_schema")

Node: TypeAlias = Mapping[str, Any]

MASK: Final = "**********"
"""What stands in the place of a secret, whatever its length."""

MESSAGE_MAX: Final = 1000
"""Characters of one error message; the library quotes the wrong value, however big it is."""

ROOT: Final = "__root__"
"""coglet's name for the input as a whole in the `loc` of an error."""


@frozen
class CleanedInput:
    """An input that fits the schema, as the worker gets it."""

    values: dict[str, Any]
    dropped: tuple[str, ...] = ()
    """Names that the client sent and the model does not know, in the client's order."""


class ModelSchema:
    """The model's OpenAPI document, prepared for the questions that each prediction asks.

    Building one compiles the validators, which takes milliseconds: once for each `ready`. Without
    a document every input is accepted as it is.

    Args:
        document: as the worker sent it.
        is_train: whether the worker trains, whichever route asked for it.
        optional: the inputs that may be left out or null whatever the document says; it can say so
            of `x: Any = None` only by differing from coglet's.
    """

    def __init__(
        self, document: dict[str, Any] | None, *, is_train: bool, optional: Iterable[str] = ()
    ) -> None:
        self.document = document
        schemas = _child(_child(document, "components"), "schemas")
        asked = _first(schemas, ("Input", "TrainingInput"))
        trained = _first(schemas, ("TrainingInput", "Input"))
        self.input = InputSchema(document, asked, optional)
        """Of predictions. A model that can only be trained is trained by them, as in coglet."""
        self.training_input = (
            self.input if trained is asked else InputSchema(document, trained, optional)
        )
        """Of trainings. They run a model that cannot be trained, as in coglet."""
        output = _first(schemas, ("TrainingOutput", "Output") if is_train else ("Output",))

        self.output_is_array: bool = output.get("type") == "array"
        """Whether the answer is a list, however many items the worker sends."""
        self.allows_streaming: bool = documents_streaming(document)
        """Whether the model opted in to server-sent events, as coglet wants it."""
        self.supports_training: bool = documents_training(document)
        """Whether the model can be trained."""


class InputSchema:
    """One input's schema: what fits it, what is dropped, what is secret.

    Args:
        document: where its references lead.
        schema: of the input; an empty one lets everything pass.
        optional: as `ModelSchema`'s.
    """

    def __init__(
        self, document: dict[str, Any] | None, schema: Node, optional: Iterable[str]
    ) -> None:
        schema = _with_optional(schema, frozenset(optional))
        properties = _child(schema, "properties")
        self.document = document
        self.properties: Node = properties
        """What is said of each input, by its name."""
        self._known = _known_names(schema)
        self._nulls = _null_when_absent(properties, schema.get("required"))
        self._secrets = frozenset(name for name in properties if _is_secret(properties[name]))
        self._validator = _validator(schema, document, mask=None)
        self._masked_validator = (
            _validator(schema, document, mask=MASK) if self._secrets else self._validator
        )

    def clean(self, raw: dict[str, Any]) -> CleanedInput:
        """The input as the worker gets it: without unknown names, valid, with explicit nulls.

        `raw` itself is not changed. Inputs that may be null, are not required and have no default
        become null when they are absent, as in coglet.

        Raises:
            InvalidInput: it does not fit the schema; one entry for each thing that is wrong.
        """
        known = self._known
        dropped = () if known is None else tuple(name for name in raw if name not in known)
        values = {name: value for name, value in raw.items() if known is None or name in known}
        self._validate(values)
        for name in self._nulls:
            values.setdefault(name, None)
        return CleanedInput(values, dropped)

    def mask_secrets(self, values: dict[str, Any]) -> dict[str, Any]:
        """A copy of an input in which every secret (`x-cog-secret`) is `MASK`. Null stays null."""
        if not self._secrets:
            return values
        return {
            name: MASK if name in self._secrets and value is not None else value
            for name, value in values.items()
        }

    def _validate(self, values: dict[str, Any]) -> None:
        if self._validator is None:
            return
        try:
            if self._validator.is_valid(values):
                return
            errors = self._errors(values)
        except (ValueError, RecursionError) as error:
            # The library gives up on a value with more than a few hundred levels.
            too_deep = InputError(_loc(ROOT), "the input is nested too deeply")
            raise InvalidInput([too_deep]) from error
        errors.sort(key=_place_in_schema)
        raise InvalidInput([_input_error(error) for error in errors])

    def _errors(self, values: dict[str, Any]) -> list[jsonschema_rs.ValidationError]:
        found = errors_in(values, self._validator)
        if not self._secrets:
            return found
        # A secret must not come back in the error about it.
        masked = errors_in(values, self._masked_validator)
        return [
            hidden if _top_name(error) in self._secrets else error
            for error, hidden in zip(found, masked, strict=True)
        ]


def documents_streaming(document: dict[str, Any] | None) -> bool:
    """Whether a document says that the model opted in to server-sent events."""
    predictions = _child(_child(document, "paths"), "/predictions")
    return _child(predictions, "post").get("x-cog-streaming") is True


def documents_training(document: dict[str, Any] | None) -> bool:
    """Whether a document says that the model can be trained."""
    schemas = _child(_child(document, "components"), "schemas")
    return "TrainingInput" in schemas or "/trainings" in _child(document, "paths")


# --- reading the document ---------------------------------------------------------------------


def _child(node: Node | None, name: str) -> Node:
    """The object called `name` in `node`; an empty one if there is none."""
    child = node.get(name) if node is not None else None
    return child if isinstance(child, dict) else {}


def _first(schemas: Node, names: tuple[str, ...]) -> Node:
    return next((_child(schemas, name) for name in names if name in schemas), {})


def _with_optional(schema: Node, optional: frozenset[str]) -> Node:
    """The input's schema, in which the inputs `optional` are not required and may be null."""
    if not optional or "properties" not in schema:
        return schema
    properties = {
        name: {**node, "nullable": True} if name in optional and isinstance(node, dict) else node
        for name, node in _child(schema, "properties").items()
    }
    changed = {**schema, "properties": properties}
    required = schema.get("required")
    if isinstance(required, list):
        changed["required"] = [name for name in required if name not in optional]
    return changed


def _known_names(schema: Node) -> frozenset[str] | None:
    """The names that the model takes; None if it takes any."""
    if "properties" not in schema or schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(_child(schema, "properties"))


def _null_when_absent(properties: Node, required: Any) -> tuple[str, ...]:
    needed = required if isinstance(required, list) else []
    return tuple(
        name
        for name in properties
        if _child(properties, name).get("nullable") is True
        and "default" not in properties[name]
        and name not in needed
    )


def _is_secret(node: Any) -> bool:
    """Whether a value is secret, or holds one: a list of secrets is masked as a whole."""
    if not isinstance(node, dict):
        return False
    inner = [node.get("items"), *(_variants(node, "allOf")), *(_variants(node, "anyOf"))]
    return node.get("x-cog-secret") is True or any(map(_is_secret, inner))


def _variants(node: Node, keyword: str) -> list[Any]:
    variants = node.get(keyword)
    return variants if isinstance(variants, list) else []


# --- the validator ----------------------------------------------------------------------------


def _validator(
    schema: Node, document: dict[str, Any] | None, mask: str | None
) -> jsonschema_rs.Validator | None:
    """A validator for the input; None when there is nothing to check, or no way to."""
    if not schema:
        return None
    # `$ref` in the schema says `#/components/schemas/...`: they go along at the same place.
    whole = {
        **_spell_out_null(schema),
        "components": _spell_out_null(_child(document, "components")),
    }
    try:
        # Offline: a document must not make this process fetch URLs.
        return jsonschema_rs.Draft202012Validator(whole, mask=mask, offline=True)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        log.warning(
            "the model's input schema is unusable: inputs are not checked", error=str(error)
        )
        return None


def _spell_out_null(node: Any) -> Any:
    """Say `nullable`, which is OpenAPI 3.0, in the words of JSON Schema.

    `if` it is not null, `then` it must fit: so the errors of everything else stay what they were,
    where a list of types would change their words.
    """
    if isinstance(node, list):
        return [_spell_out_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    spelled = {key: _spell_out_null(node[key]) for key in node}
    if node.get("nullable") is True:
        return {"if": {"not": {"type": "null"}}, "then": spelled}
    return spelled


# --- wording ----------------------------------------------------------------------------------


def _loc(place: str) -> tuple[str, str, str]:
    return ("body", "input", place)


def _top_name(error: jsonschema_rs.ValidationError) -> str | int | None:
    return next(iter(error.instance_path), None)


def _place_in_schema(error: jsonschema_rs.ValidationError) -> list[str]:
    """Coglet keeps schemas sorted by key and reports along them."""
    return [str(step) for step in error.schema_path]


def _input_error(error: jsonschema_rs.ValidationError) -> InputError:
    place = "/".join(map(str, error.instance_path))
    match error.kind:
        case jsonschema_rs.ValidationErrorKind.Required(property=name):
            place = f"{place}/{name}" if place else name
            return InputError(_loc(_shortened(place)), "Field required", "value_error.missing")
        case jsonschema_rs.ValidationErrorKind.Enum(options=options):
            quoted, _, _ = error.message.partition(" is not one of ")
            message = f"{quoted} is not one of {dumps(options).decode()}"
        case _:
            message = error.message
    return InputError(_loc(_shortened(place) or ROOT), _shortened(message))


def _shortened(message: str) -> str:
    """Without its middle if it is long: what is wrong stands at the end, the value before it."""
    if len(message) <= MESSAGE_MAX:
        return message
    half = MESSAGE_MAX // 2
    return f"{message[:half]} … {message[-half:]}"
