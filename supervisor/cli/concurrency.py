"""How many slots a model declares: `@cog.concurrent(max=N)`, read from its source.

The number is needed before the worker starts, and importing the model here would import its
libraries into the supervisor. So the source is parsed and never run; what cannot be known that way
(a number that is computed, a method that comes from another file) is 1 slot and a notice.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Declared", "declared_slots"]

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_HINT = "1 slot is used: say --max-concurrency N if it should be more"


@frozen
class Declared:
    """What the source says."""

    slots: int = 1
    notice: str | None = None
    """What could not be read, for the operator."""


def declared_slots(ref: str) -> Declared:
    """The slots that the model `ref` (file.py:Name or file.py) declares.

    A file that can't be read or parsed declares 1: loading it will fail with the better error.
    """
    path, _, name = ref.partition(":")
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return Declared()
    module = _Module(tree)
    if not module.mentions_concurrent:
        return Declared()
    function = module.entry(name)
    if function is None:
        return Declared(notice=f"run() or predict() of {ref} is not in its file; {_HINT}")
    return module.declared_by(function, ref)


class _Module:
    """The definitions and the imports at the top level of one file."""

    def __init__(self, tree: ast.Module) -> None:
        self._definitions: dict[str, ast.ClassDef | _Function] = {}
        self._modules: set[str] = set()
        """Names by which the file knows the module `cog`."""
        self._decorators: set[str] = set()
        """Names by which it knows `cog.concurrent`."""
        for node in _top_level(tree.body):
            match node:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._definitions[node.name] = node
                case ast.Import():
                    self._modules |= {a.asname or a.name for a in node.names if a.name == "cog"}
                case ast.ImportFrom(module="cog", level=0):
                    self._decorators |= {
                        a.asname or a.name for a in node.names if a.name in ("concurrent", "*")
                    }
        if "*" in self._decorators:
            self._decorators.add("concurrent")

    @property
    def mentions_concurrent(self) -> bool:
        """Whether the file could use the decorator at all."""
        return bool(self._modules or self._decorators)

    def entry(self, name: str) -> _Function | None:
        """The function that a prediction calls; without a name a Runner wins over a Predictor."""
        names = [name] if name else ["Runner", "Predictor"]
        for one in names:
            definition = self._definitions.get(one)
            if isinstance(definition, ast.ClassDef):
                return self._method(definition, seen=set())
            if definition is not None:
                return definition
        return None

    def _method(self, owner: ast.ClassDef, seen: set[str]) -> _Function | None:
        """The class's `run` or `predict`, its own or of a base in the same file."""
        for node in _top_level(owner.body):
            if isinstance(node, _FUNCTIONS) and node.name in ("run", "predict"):
                return node
        seen.add(owner.name)
        for base in owner.bases:
            inherited = self._definitions.get(base.id) if isinstance(base, ast.Name) else None
            if isinstance(inherited, ast.ClassDef) and inherited.name not in seen:
                found = self._method(inherited, seen)
                if found is not None:
                    return found
        return None

    def declared_by(self, function: _Function, ref: str) -> Declared:
        """What the decorators of `function` declare."""
        for decorator in function.decorator_list:
            if isinstance(decorator, ast.Call) and self._is_concurrent(decorator.func):
                return _from_call(decorator, ref)
        return Declared()

    def _is_concurrent(self, node: ast.expr) -> bool:
        """Whether `node` is the decorator: `cog.concurrent`, `concurrent`, or an alias of these."""
        match node:
            case ast.Name(id=name):
                return name in self._decorators
            case ast.Attribute(value=ast.Name(id=owner), attr="concurrent"):
                return owner in self._modules
        return False


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body, also those inside `if`, `try` and `with`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            yield from _top_level(node.body)
            yield from _top_level(getattr(node, "orelse", []))
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body)


def _from_call(call: ast.Call, ref: str) -> Declared:
    """The number in `concurrent(max=N)`; without `max` it is 1, as in the SDK."""
    for keyword in call.keywords:
        if keyword.arg == "max":
            break
    else:
        unclear = any(keyword.arg is None for keyword in call.keywords)
        return Declared(notice=_not_literal(ref)) if unclear else Declared()
    match keyword.value:
        case ast.Constant(value=int(slots)) if slots >= 1 and slots is not True:
            return Declared(slots)
    return Declared(notice=_not_literal(ref))


def _not_literal(ref: str) -> str:
    return f"@cog.concurrent of {ref} has no plain number as max; {_HINT}"
