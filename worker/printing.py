"""`print` that hands over its line in one piece.

The interpreter's own writes each value by itself, what is between them, and the newline: five calls
for two values, in any of which another thread may come in between. Most of what models log is
printed.
"""

from __future__ import annotations

import builtins
import sys
from functools import wraps
from typing import Any, Final

from worker.cancellation import enters_model
from worker.streams import LogStream

__all__ = ["install_print"]

_print: Final = builtins.print


@wraps(_print)
@enters_model  # it calls the `__str__` of the model's values
def _print_at_once(
    *values: Any,
    sep: str | None = " ",
    end: str | None = "\n",
    file: Any = None,
    flush: bool = False,
) -> None:
    stream = getattr(sys, "stdout", None) if file is None else file
    if isinstance(stream, LogStream) and isinstance(sep, str) and isinstance(end, str):
        stream.write(sep.join(map(str, values)) + end)
        if flush:
            stream.flush()
    else:
        _print(*values, sep=sep, end=end, file=file, flush=flush)


def install_print() -> None:
    """Take the place of `print`, for good. What does not go to our streams is printed as ever."""
    builtins.print = _print_at_once
