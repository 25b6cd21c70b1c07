"""What a model's function takes and gives, read once from the live function when it is loaded."""

from __future__ import annotations

import inspect
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from worker.annotations import shape_of
from worker.constraints import Constraints, constraints_of
from worker.conversion import Converter, converter_for
from worker.declared import NO_DEFAULT, Made, default_of, is_declaration, is_input
from worker.docstrings import parameter_descriptions
from worker.layers import innermost_function, layers_of
from worker.shapes import AnyValue, Shape, Unknown, without_constraints
from worker.source import SourceFacts, read_source

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Field",
    "Signature",
    "resolve_input_defaults",
    "signature_of",
]


@frozen
class Field:
    """One input."""

    name: str
    shape: Shape
    constraints: Constraints
    """Those of the whole input; an item of a list may have others, in its shape."""
    default: Any
    """What the model gets, before conversion, when the client sends nothing. Or `Made`, or
    NO_DEFAULT."""
    is_written: bool
    """Whether the default, if it is None, was written down and not just left to `Input()`."""
    is_handed_over: bool
    """Whether the default has to be passed, because the function's own default is another."""
    convert: Converter | None
    """None: values are passed as they are."""


@frozen
class Signature:
    """The inputs of a function in their order, and what it answers."""

    fields: tuple[Field, ...]
    returns: Shape
    takes_anything: bool = False
    """Whether it has a `**parameter`."""
    is_streaming: bool = False
    """Whether it is marked with `@streaming`."""

    @property
    def optional_inputs(self) -> list[str]:
        """The inputs that may be left out or null, though the document says that they may not.

        Of `x: Any = None` coglet's tool says that it is an object and required. The document is
        the tool's, word for word, and an image may bring it along; so this is told beside it.
        `x: int = None` stays required: there None is not what a client could mean.
        """
        return [
            field.name
            for field in self.fields
            if field.default is None and field.is_written and isinstance(field.shape, AnyValue)
        ]


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read the signature of a function, method or callable object, behind its decorators.

    What cannot be read restricts nothing: there is always a signature.
    """
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some callables written in C have none
        return Signature((), Unknown(), takes_anything=True)
    inner = innermost_function(function)
    source = read_source(inner)
    docstring = getattr(inner, "__doc__", None)
    described = parameter_descriptions(docstring if isinstance(docstring, str) else None)
    inputs = tuple(
        _field(
            parameter,
            _annotation(inner, parameter.name),
            source,
            described.get(parameter.name),
        )
        for parameter in parameters.values()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )
    return Signature(
        inputs,
        shape_of(_annotation(inner, "return")),
        takes_anything=any(each.kind is each.VAR_KEYWORD for each in parameters.values()),
        is_streaming=source.is_streaming,
    )


def resolve_input_defaults(function: Callable[..., Any]) -> None:
    """Replace what `Input()` and `Field()` have made among a function's defaults by its value.

    For calls that do not come from us: a `setup` that warms up with `self.run(prompt="x")`.
    """
    for layer in layers_of(function):
        if inspect.isfunction(layer):
            defaults, keyword_defaults = layer.__defaults__, layer.__kwdefaults__
            if defaults:
                layer.__defaults__ = tuple(_resolved(each) for each in defaults)
            if keyword_defaults:
                layer.__kwdefaults__ = {
                    name: _resolved(each) for name, each in keyword_defaults.items()
                }


def _annotation(function: Any, name: str) -> Any:
    """The annotation of one parameter, its strings resolved; if that fails, something unknown.

    One by one, so that a name that exists only for type checkers spoils no other parameter.
    """
    try:
        annotation = function.__annotations__[name]
        holder = SimpleNamespace(__annotations__={name: annotation})
        names = getattr(function, "__globals__", {})
        return typing.get_type_hints(holder, names, include_extras=True)[name]
    # Strings in annotations are the model's code.
    except Exception:
        return inspect.Parameter.empty


def _field(
    parameter: inspect.Parameter, annotation: Any, source: SourceFacts, described: str | None
) -> Field:
    """One input; `described` is what the docstring says of it, if nothing else does."""
    declared = parameter.default
    shape, beside_type = without_constraints(shape_of(annotation))
    is_object = is_declaration(declared)
    constraints = constraints_of(beside_type, *([declared] if is_object else []))
    if constraints.description is None:
        constraints = evolve(constraints, description=described)
    return Field(
        name=parameter.name,
        shape=shape,
        constraints=constraints,
        default=default_of(declared),
        is_written=not is_input(declared) or parameter.name in source.written_defaults,
        # What is passed by its place needs all that stands before it.
        is_handed_over=is_object or parameter.kind is parameter.POSITIONAL_ONLY,
        convert=converter_for(shape),
    )


def _resolved(declared: Any) -> Any:
    default = default_of(declared)
    if isinstance(default, Made):
        return default.make()
    return declared if default is NO_DEFAULT else default
