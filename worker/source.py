"""What only the text of a function tells, because at run time there is no trace of it.

The SDK's `Input()` and `Input(default=None)` make equal objects, and its `@streaming` returns the
function as it was; coglet's own schema generator reads both from the source. And what a decorator
does with the coroutine of an async function, only its source tells.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FunctionType
    from typing import Any

__all__ = ["SourceFacts", "hands_on", "read_source"]


@frozen
class SourceFacts:
    """What was found; nothing, if there is no source."""

    written_defaults: frozenset[str] = frozenset()
    """The parameters whose default is a call that names a default: `Input(default=...)`."""
    is_streaming: bool = False
    """Whether a decorator called `streaming` is on it."""


def read_source(function: Callable[..., Any]) -> SourceFacts:
    """Read the source of `function`, which has to be the innermost one of its decorators."""
    definition = _definition(function)
    if definition is None:
        return SourceFacts()
    return SourceFacts(
        frozenset(_written_defaults(definition.args)),
        any(_last_name(decorator) == "streaming" for decorator in definition.decorator_list),
    )


def hands_on(wrapper: FunctionType, inner: Any) -> bool:
    """Whether `wrapper` does nothing with what `inner` returns but return it itself.

    Only what can be read counts: `return inner(...)`, or a variable between the two.
    """
    names = _names_of(inner, wrapper)
    # Of the code: of the function, the source of what it wraps would be found.
    definition = _definition(wrapper.__code__) if names else None
    if definition is None:
        return False
    everything = [node for statement in definition.body for node in ast.walk(statement)]
    mentioned = Counter(
        node.id
        for node in everything
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    )
    own = [node for statement in definition.body for node in _own_nodes(statement)]
    returned = [node.value for node in own if isinstance(node, ast.Return)]
    variables = Counter(value.id for value in returned if isinstance(value, ast.Name))
    kept = [
        node.value
        for node in own
        if isinstance(node, ast.Assign)
        and isinstance(target := node.targets[-1], ast.Name)
        # All that is done with the variable is to return it.
        and 0 < variables[target.id] == mentioned[target.id]
    ]
    calls = [
        value
        for value in (*returned, *kept)
        if isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id in names
    ]
    return 0 < len(calls) == sum(mentioned[name] for name in names)


def _names_of(inner: Any, wrapper: FunctionType) -> set[str]:
    """The names by which a function knows `inner` from the function around it."""
    names = set()
    for name, cell in zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True):
        try:
            if cell.cell_contents is inner:
                names.add(name)
        except ValueError:  # it is empty
            continue
    return names


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all below it, without the insides of other functions."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _own_nodes(child)


def _definition(
    function: Callable[..., Any] | CodeType,
) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    # No file, a lambda in the middle of a line, a file that has changed meanwhile.
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    found = tree.body[0] if tree.body else None
    return found if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef) else None


def _written_defaults(arguments: ast.arguments) -> list[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    with_default = positional[len(positional) - len(arguments.defaults) :]
    pairs = [
        *zip(with_default, arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return [
        argument.arg
        for argument, default in pairs
        if isinstance(default, ast.Call)
        and (default.args or any(keyword.arg == "default" for keyword in default.keywords))
    ]


def _last_name(node: ast.expr) -> str:
    """The last word of `streaming`, `cog.streaming`, `cog.streaming()`."""
    if isinstance(node, ast.Call):
        node = node.func
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
