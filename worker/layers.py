"""A callable taken apart: methods, partials, callable objects and decorators around a function."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["innermost_function", "layers_of"]


def layers_of(function: Any) -> Iterator[Any]:
    """A callable and what it wraps, from outside to inside."""
    seen: set[int] = set()
    layer = function
    while layer is not None and id(layer) not in seen:
        seen.add(id(layer))
        yield layer
        layer = _inside(layer)


def innermost_function(function: Callable[..., Any]) -> Any:
    """What is left when everything around it is taken away."""
    *_, innermost = layers_of(function)
    return innermost


def _inside(layer: Any) -> Any:
    if inspect.ismethod(layer):
        return layer.__func__
    if isinstance(layer, functools.partial):
        return layer.func
    wrapped = getattr(layer, "__wrapped__", None)
    if wrapped is not None or inspect.isroutine(layer) or isinstance(layer, type):
        return wrapped
    return getattr(type(layer), "__call__", None)  # noqa: B004
