"""Which version of this package runs."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["PACKAGE", "our_version"]

PACKAGE: Final = "coglet-trio"
"""Its name, and that of its command."""


@cache
def our_version() -> str:
    """The installed version; "unknown" for a source tree that was never installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"
