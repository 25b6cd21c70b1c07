"""Which variables of the environment speak to us: ours, Kubernetes' by accident, or misspelt.

Kubernetes injects `COGLET_PORT=tcp://10.0.0.1:5000`, `COGLET_SERVICE_HOST` … into every pod of a
namespace that has a Service named `coglet` (and `COGLET_WEB_PORT` … for one named `coglet-web`).
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["PREFIX", "spoken_to_us", "unknown_notices"]

PREFIX: Final = "COGLET_"

_NOT_OPTIONS: Final = frozenset({"COGLET_DIALECT"})
"""Variables of ours that are no options: how the dialect of a peer is chosen for tests."""

_INJECTED_NAME: Final = re.compile(
    r"COGLET_(SERVICE_.*|PORT_.*|(.*_)?SERVICE_(HOST|PORT(_.*)?)|.*_PORT_\d+_(TCP|UDP|SCTP)(_.*)?)"
)
_INJECTED_VALUE: Final = re.compile(r"(tcp|udp|sctp)://.*")


def _is_injected(name: str, value: str) -> bool:
    """Whether Kubernetes made this variable for a Service."""
    if _INJECTED_NAME.fullmatch(name):
        return True
    return name.endswith("_PORT") and _INJECTED_VALUE.fullmatch(value) is not None


def spoken_to_us(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without Kubernetes' variables and without empty ones: they count as unset."""
    return {
        name: value
        for name, value in environ.items()
        if value.strip() and not (name.startswith(PREFIX) and _is_injected(name, value))
    }


def unknown_notices(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    """A sentence for each `COGLET_…` variable that nothing reads, with the nearest name."""
    names = sorted({*known, *_NOT_OPTIONS})
    notices = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in names:
            continue
        nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        notices.append(f"{name} is not an option and is ignored; the nearest is {nearest[0]}")
    return notices
