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

__all__ = ["DOWNLOAD_THREAD", "HttpLibraries", "load_http_libraries"]

DOWNLOAD_THREAD: Final = "coglet-download"
"""The name of the threads that use them."""

_NAMES: Final = ("httpx", "httpcore")

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
    """The real ones, also when the model's folder has an `httpx.py` of its own.

    That one stays, or becomes, what `import httpx` means to the model. What the real ones log on
    threads called `DOWNLOAD_THREAD` is dropped; what the model does with them is logged as ever.

    Raises:
        ImportError: they are not installed.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            httpx, httpcore = _load()
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_is_the_models)
            _loaded = HttpLibraries(
                httpx, httpcore, import_module("urllib.request"), httpx.create_ssl_context()
            )
        return _loaded


def _is_the_models(_: logging.LogRecord) -> bool:
    return threading.current_thread().name != DOWNLOAD_THREAD


def _load() -> list[Any]:
    working_folder = [entry for entry in sys.path if _is_working_folder(entry)]
    if not any(PathFinder.find_spec(name, working_folder) for name in _NAMES):
        return [import_module(name) for name in _NAMES]
    theirs = _take_out()
    path = sys.path[:]
    try:
        sys.path[:] = [entry for entry in path if entry not in working_folder]
        return [import_module(name) for name in _NAMES]
    finally:
        sys.path[:] = path
        _take_out()
        sys.modules.update(theirs)


def _take_out() -> dict[str, Any]:
    """Make the interpreter forget what is called like them."""
    names = [name for name in sys.modules if name.partition(".")[0] in _NAMES]
    return {name: sys.modules.pop(name) for name in names}


def _is_working_folder(entry: str) -> bool:
    return os.path.realpath(entry or ".") == os.getcwd()
