"""httpx and httpcore, from the model's environment, loaded when a URL is to be fetched.

Most models never need them, and their import takes a tenth of a second.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from importlib import import_module
from importlib.machinery import PathFinder
from typing import Any, Final

from attrs import frozen

__all__ = ["DOWNLOAD_THREAD", "HTTP_LIBRARIES", "HttpLibraries", "load_http_libraries"]

DOWNLOAD_THREAD: Final = "coglet-download"
"""The name of the threads that use them."""

HTTP_LIBRARIES: Final = ("httpx", "httpcore")
"""What has to be installed."""

_LOGGERS: Final = ("httpx", *(f"httpcore.{each}" for each in ("connection", "http11", "proxy")))
"""They write URLs with all the credentials in them, where the model has its logging on."""

_lock: Final = threading.Lock()
_loaded: HttpLibraries | None = None


@frozen
class HttpLibraries:
    """The modules; nobody has read their types here."""

    httpx: Any
    httpcore: Any
    proxies: Any
    """`urllib.request`, which knows the proxies that the environment names."""
    ssl_context: Any
    """What certificates are checked with. To make one takes long, and it may be shared."""


def load_http_libraries() -> HttpLibraries:
    """The real ones, also when the model's folder has an `httpx.py` or `certifi.py` of its own.

    That one stays, or becomes, what `import httpx` means to the model. Only then, and for so long
    as it takes to load them, the folder cannot be imported from. What the real ones log on
    threads called `DOWNLOAD_THREAD` is dropped; what the model does with them is logged as ever.

    Raises:
        ImportError: they are not installed.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_is_the_models)
        return _loaded


def _is_the_models(_: logging.LogRecord) -> bool:
    return threading.current_thread().name != DOWNLOAD_THREAD


def _load() -> HttpLibraries:
    path = sys.path[:]
    elsewhere = [entry for entry in path if not _is_working_folder(entry)]
    hiding = _hiding(elsewhere)
    if not hiding:
        return _import()
    loaded = {name for name in hiding if name in sys.modules}
    models = {name for name in loaded if name in HTTP_LIBRARIES or _lies_in_working_folder(name)}
    theirs = _take_out(models)
    try:
        sys.path[:] = elsewhere
        return _import()
    finally:
        sys.path[:] = path
        _take_out(hiding - loaded | models)
        sys.modules.update(theirs)


def _import() -> HttpLibraries:
    httpx, httpcore, proxies = map(import_module, (*HTTP_LIBRARIES, "urllib.request"))
    return HttpLibraries(httpx, httpcore, proxies, httpx.create_ssl_context())


def _hiding(elsewhere: list[str]) -> set[str]:
    """The names of modules in the working folder that are modules elsewhere too.

    If one of them is httpx or httpcore, both are: either may be the model's already.
    """
    names = {entry.partition(".")[0] for entry in os.listdir() if _may_be_a_module(entry)}
    hiding = {
        name
        for name in names
        if (name in sys.stdlib_module_names or PathFinder.find_spec(name, elsewhere))
        # A folder that is no package hides nothing.
        and (spec := PathFinder.find_spec(name, [""])) is not None
        and spec.has_location
    }
    return hiding if hiding.isdisjoint(HTTP_LIBRARIES) else hiding | {*HTTP_LIBRARIES}


def _may_be_a_module(entry: str) -> bool:
    return entry.endswith((".py", ".so")) or entry.isidentifier()


def _lies_in_working_folder(name: str) -> bool:
    spec = getattr(sys.modules[name], "__spec__", None)
    found = PathFinder.find_spec(name, [""])
    return found is not None and found.origin is not None and _origin(spec) == _origin(found)


def _origin(spec: Any) -> str:
    return os.path.realpath(getattr(spec, "origin", None) or "/")


def _take_out(names: set[str]) -> dict[str, Any]:
    """Make the interpreter forget modules, with all that lies in them."""
    found = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in found}


def _is_working_folder(entry: str) -> bool:
    return os.path.realpath(entry or ".") == os.getcwd()
