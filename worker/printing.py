"""`print` that hands over its line in one piece.

The interpreter's own writes each value by itself, what is between them, and the newline: four calls
for two values. Most of what models log is printed; two values to a line take half the time so.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, Final

from worker.call_stack import enters_model
from worker.streams import LogStream

__all__ = ["install_print"]

_print: Final = builtins.print


@enters_model  # it calls the `__str__` of the model's values
def _print_at_once(
    *args: Any,
    sep: str | None = " ",
    end: str | None = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    stream = getattr(sys, "stdout", None) if file is None else file
    if isinstance(stream, LogStream) and isinstance(sep, str) and isinstance(end, str):
        stream.write(sep.join(map(str, args)) + end)
        if flush:
            stream.flush()
    else:
        _print(*args, sep=sep, end=end, file=file, flush=flush)


class _Print:
    """Is told from the interpreter's own by its type only.

    Not a function: those become methods where a class has them as an attribute, `print` does not.
    """

    __slots__ = ()
    __module__ = _print.__module__
    __doc__ = _print.__doc__
    __call__ = staticmethod(_print_at_once)

    def __getattr__(self, name: str) -> Any:
        return getattr(_print, name)

    def __repr__(self) -> str:
        return repr(_print)

    def __reduce__(self) -> str:
        return _print.__name__  # pickled, and copied, as what has this name


def install_print() -> None:
    """Take the place of `print`, for good. What does not go to our streams is printed as ever."""
    builtins.print = _Print()
