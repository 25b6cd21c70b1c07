"""Modules in the model's folder that `import` does not find there.

The worker has imported much of Python's standard library before the model is loaded. A file of the
model that is called like a part of it is never looked for, and what the model misses in the other
one tells nobody why.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

__all__ = ["hidden_modules"]


def hidden_modules(model: str) -> list[str]:
    """What to say of each such file in the working folder, except of the file `model` itself."""
    warnings = []
    for name in sorted(sys.stdlib_module_names & sys.modules.keys()):
        spec = PathFinder.find_spec(name, [""])
        # A folder that is no package has no location, and hides nothing.
        if spec is None or not spec.has_location or spec.origin is None:
            continue
        found = getattr(sys.modules[name], "__file__", None)
        if not any(_is_same(spec.origin, other) for other in (found, model)):
            warnings.append(
                f"{os.path.relpath(spec.origin)} of the model is not what `import {name}` finds: "
                "Python's own module of that name is loaded already. Rename the file if the model "
                "imports it."
            )
    return warnings


def _is_same(path: str, other: str | None) -> bool:
    return other is not None and os.path.realpath(path) == os.path.realpath(other)
