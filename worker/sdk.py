"""The `coglet` module that the published `cog` SDK imports, made of our own parts.

The SDK takes two things from coglet's native half: the class `CancelationException`, when it is
imported, and `coglet._sdk.current_scope`, at each use. With this stand-in in `sys.modules` the
native half is never loaded, and need not be installed.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any, Final, NoReturn

from worker.scope import MetricRecorder, Scope, current_scope

__all__ = ["COGLET_RELEASE", "CancelationException", "install"]

COGLET_RELEASE: Final = "0.23.1"
"""The release of coglet whose interface the stand-in has, as `coglet.__version__` tells it."""


class CancelationException(BaseException):
    """Raised inside a prediction that is told to stop. Models may catch it to clean up.

    Not an `Exception`, so that a model's `except Exception` does not swallow it.
    """


# Models see it as `coglet.CancelationException`; so does whoever reads a traceback.
CancelationException.__module__ = "coglet"


def install() -> None:
    """Register the stand-in in `sys.modules`. Has to run before anything imports `cog`.

    A `coglet` that is there already keeps its other attributes and gets ours.
    """
    package = _module("coglet", is_package=True)
    inner = _module("coglet._sdk")
    inner.Scope = Scope  # type: ignore[attr-defined]
    inner.MetricRecorder = MetricRecorder  # type: ignore[attr-defined]
    inner.current_scope = current_scope  # type: ignore[attr-defined]
    attributes: dict[str, Any] = {
        "__version__": COGLET_RELEASE,
        "__build__": SimpleNamespace(version=COGLET_RELEASE, git_sha="", dirty=False),
        "CancelationException": CancelationException,
        "_sdk": inner,
        "server": SimpleNamespace(active=True, serve=_serve, _run_worker=_serve),
    }
    for name, value in attributes.items():
        setattr(package, name, value)


def _module(name: str, *, is_package: bool = False) -> ModuleType:
    present = sys.modules.get(name)
    if present is not None:
        return present
    module = ModuleType(name, "Stands in for coglet's native module in a coglet-trio worker.")
    # With a spec, `importlib.util.find_spec` answers instead of raising; an empty path makes a
    # package without files, so that `import coglet._sdk` finds only what is registered.
    module.__spec__ = ModuleSpec(name, loader=None, is_package=is_package)
    if is_package:
        module.__path__ = []
    sys.modules[name] = module
    return module


def _serve(*_: Any, **__: Any) -> NoReturn:
    raise RuntimeError("a server cannot be started inside a worker")
