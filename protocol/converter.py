"""The strict cattrs converter behind `protocol.codec`: a wrong type is an error, never coerced."""

from __future__ import annotations

from enum import Enum, EnumType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import attrs
from cattrs.fns import identity
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.msgspec import make_converter

from protocol import messages as m
from protocol.errors import WrongType
from protocol.transport import AbstractSockets, NamedSockets, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["structure_hook", "unstructure_hook"]

T = TypeVar("T")

_converter = make_converter(detailed_validation=False)


def _refuse(value: Any, expected: str) -> NoReturn:
    raise WrongType(f"expected {expected}, got {type(value).__name__}")


def _exactly(kind: type[T], name: str) -> Callable[[Any, Any], T]:
    def structure(value: Any, _: Any) -> T:
        if type(value) is not kind:
            _refuse(value, name)
        return value

    return structure


def _structure_float(value: Any, _: Any) -> float:
    if type(value) is not int and type(value) is not float:
        _refuse(value, "a number")
    try:
        return float(value)
    except OverflowError as error:
        raise WrongType(f"expected a number: {error}") from error


def _structure_strings(value: Any, _: Any) -> list[str]:
    if type(value) is not list or any(type(item) is not str for item in value):
        _refuse(value, "a list of strings")
    return value


def _structure_string_map(value: Any, _: Any) -> dict[str, str]:
    if type(value) is not dict or any(type(item) is not str for item in value.values()):
        _refuse(value, "an object of strings")
    return value


def _structure_enum(value: Any, kind: type[Enum]) -> Enum:
    if type(value) is not str:
        _refuse(value, "a string")
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise WrongType(f"expected one of {known}, got {value[:100]!r}") from None


def _structure_file_kind(value: Any, _: Any) -> m.FileKind:
    if type(value) is not dict:
        _refuse(value, "an object")
    return cast("m.FileKind", _structure_enum(value.get("type"), m.FileKind))


def _structure_transport(value: Any, _: Any) -> Transport:
    if type(value) is not dict or len(value) != 1:
        _refuse(value, "an object with one key")
    ((name, fields),) = value.items()
    kind = _TRANSPORTS.get(name)
    if kind is None:
        raise WrongType(f"expected one of {', '.join(_TRANSPORTS)}, got {name[:100]!r}")
    return _converter.structure(fields, kind)


def _unstructure_transport(value: Transport) -> dict[str, Any]:
    return {type(value).__name__: attrs.asdict(value)}


_TRANSPORTS: Final[dict[str, type[Transport]]] = {
    "NamedSockets": NamedSockets,
    "AbstractSockets": AbstractSockets,
}
_NESTED: Final = (m.Trace, m.WorkerInfo)
_JSON: Final[tuple[Any, ...]] = (
    Any,
    dict[str, Any],
    dict[str, Any] | None,
    dict[str, str],
    dict[str, str] | None,
    list[str],
)
"""Types of fields that are plain JSON already."""
_LEFT_OUT_WHEN_DEFAULT: Final = {(m.Done, "is_stream")}
"""Fields besides those whose default is None that coglet leaves out."""


def unstructure_hook(kind: type[Any], *omitted: str) -> Callable[[Any], dict[str, Any]]:
    """How a message becomes a dictionary, in the order of its fields; `omitted` are never in it."""
    fields_of_kind = attrs.fields(attrs.resolve_types(kind))
    overrides = {name: override(omit=True) for name in omitted}
    for attribute in fields_of_kind:
        if attribute.type in _JSON:
            # The encoder walks it; cattrs would do so too, in Python, item by item.
            overrides.setdefault(attribute.name, override(unstruct_hook=identity))
    unstructure = make_dict_unstructure_fn(kind, _converter, **cast("Any", overrides))
    left_out = tuple(
        (attribute.name, attribute.default)
        for attribute in fields_of_kind
        if attribute.default is None or (kind, attribute.name) in _LEFT_OUT_WHEN_DEFAULT
    )
    if not left_out:
        return unstructure

    def leave_out_defaults(message: Any) -> dict[str, Any]:
        # cattrs could leave them out itself, but would then put them behind the other fields.
        fields = unstructure(message)
        for name, default in left_out:
            if fields[name] is default:
                del fields[name]
        return fields

    return leave_out_defaults


def structure_hook(kind: type[Any]) -> Callable[[Any, Any], Any]:
    """How a dictionary becomes a message. The hook raises `WrongType`, or `KeyError`."""
    structure_fields = make_dict_structure_fn(kind, _converter)

    def structure(value: Any, asked: Any) -> Any:
        if type(value) is not dict:
            _refuse(value, "an object")
        return structure_fields(value, asked)

    return structure


def _optional(kind: Any) -> Callable[[Any, Any], Any]:
    hook = _converter.get_structure_hook(kind)

    def structure(value: Any, _: Any) -> Any:
        return None if value is None else hook(value, kind)

    return structure


def _register(kind: Any, hook: Callable[[Any, Any], Any]) -> None:
    if type(kind) is type or type(kind) is EnumType:
        _converter.register_structure_hook(kind, hook)
    else:  # cattrs dispatches neither generics nor unions by class
        _converter.register_structure_hook_func(lambda asked: asked == kind, hook)


_register(str, _exactly(str, "a string"))
_register(int, _exactly(int, "an integer"))
_register(bool, _exactly(bool, "true or false"))
_register(float, _structure_float)
_register(list[str], _structure_strings)
_register(dict[str, str], _structure_string_map)
_register(dict[str, Any], _exactly(dict, "an object"))
for _primitive in (str, float, bool, dict[str, Any], dict[str, str]):
    _register(_primitive | None, _optional(_primitive))
for _enum in (m.LogSource, m.MetricMode, m.HealthStatus):
    _register(_enum, _structure_enum)
    _converter.register_unstructure_hook(_enum, lambda member: member.value)
_register(m.FileKind, _structure_file_kind)
_converter.register_unstructure_hook(m.FileKind, lambda kind: {"type": kind.value})
_register(Transport, _structure_transport)
_converter.register_unstructure_hook(Transport, _unstructure_transport)
for _kind in (NamedSockets, AbstractSockets, *_NESTED):
    _converter.register_unstructure_hook(_kind, unstructure_hook(_kind))
    _converter.register_structure_hook(_kind, structure_hook(_kind))
for _kind in _NESTED:
    _register(_kind | None, _optional(_kind))
