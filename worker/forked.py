"""A child that the model forks, and that comes back out of the model's code into ours."""

from __future__ import annotations

import os
import sys

__all__ = ["exit_in_child"]

_WORKER = os.getpid()


def exit_in_child() -> None:
    """End this process if it is not the worker: the prediction is not its to answer."""
    if os.getpid() != _WORKER:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
