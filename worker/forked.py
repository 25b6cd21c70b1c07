"""A child that the model forks, and that comes back out of the model's code into ours."""

from __future__ import annotations

import os
import sys

from worker.error_text import model_traceback

__all__ = ["exit_in_child"]

_is_child = False


def exit_in_child(error: BaseException | None = None) -> None:
    """End this process if it is not the worker: the prediction is not its to answer.

    Args:
        error: what the model's code has ended with. As at the end of any program, it is printed,
            and the exit code says so.
    """
    if not _is_child:
        return
    code = 1
    try:
        code = _exit_code(error)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        sys.stderr.write(model_traceback(error))
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    sys.stderr.write(f"{error.code}\n")
    return 1


def _note() -> None:
    global _is_child
    _is_child = True


# Not `os.getpid()`: this is asked once for every item of a stream.
os.register_at_fork(after_in_child=_note)
