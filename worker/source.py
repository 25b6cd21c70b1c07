"""What only the text of a function tells, because at run time there is no trace of it.

The SDK's `Input()` and `Input(default=None)` make equal objects, and its `@streaming` returns the
function as it was; coglet's own schema generator reads both from the source.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["SourceFacts", "read_source"]


@frozen
class SourceFacts:
    """What was found; nothing, if there is no source."""

    written_defaults: frozenset[str] = frozenset()
    """The parameters whose default is a call that names a default: `Input(default=...)`."""
    is_streaming: bool = False
    """Whether a decorator called `streaming` is on it."""


def read_source(function: Callable[..., Any]) -> SourceFacts:
    """Read the source of `function`, which has to be the innermost one of its decorators."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    # No file, a lambda in the middle of a line, a file that has changed meanwhile.
    except (OSError, TypeError, SyntaxError, ValueError):
        return SourceFacts()
    definition = tree.body[0] if tree.body else None
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        return SourceFacts()
    return SourceFacts(
        frozenset(_written_defaults(definition.args)),
        any(_last_name(decorator) == "streaming" for decorator in definition.decorator_list),
    )


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
