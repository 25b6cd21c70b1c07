"""How a model's function has to be called, also when it stands behind decorators."""

from __future__ import annotations

import functools
import inspect
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from worker.layers import layers_of
from worker.source import hands_on

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallKind", "kind_of"]


class CallKind(Enum):
    """How a predictor's function has to be called."""

    SYNC = "sync"
    ASYNC = "async"
    ASYNC_GENERATOR = "async generator"


def kind_of(call: Callable[..., Any]) -> CallKind:
    """How `call` has to be called.

    A plain function around an async one is async if it hands on what that returns, as decorators
    do that log, or enter a context. If it does anything else, it may as well run the coroutine
    itself (`asyncio.run`), which would fail on our event loop: then it is sync.
    """
    for layer, inner in pairwise([*layers_of(call), None]):
        if inspect.isasyncgenfunction(layer):
            return CallKind.ASYNC_GENERATOR
        if inspect.iscoroutinefunction(layer):
            return CallKind.ASYNC
        if not _returns_what_is_inside(layer, inner):
            break
    return CallKind.SYNC


def _returns_what_is_inside(layer: Any, inner: Any) -> bool:
    if inspect.isfunction(layer):
        return hands_on(layer, inner)
    if inspect.ismethod(layer) or isinstance(layer, functools.partial):
        return True
    # A callable object; of another kind of wrapper nothing is known.
    return getattr(layer, "__wrapped__", None) is None
