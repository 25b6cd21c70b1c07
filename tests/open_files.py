"""What this process has open, as far as a test answers for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_files(folder: Path) -> list[str]:
    """What this process has open below `folder`, also if it has been deleted.

    Not all that it has open: what others have left to it may be closed at any moment.
    """
    return [
        target
        for name in os.listdir("/proc/self/fd")
        if (target := _read_link(f"/proc/self/fd/{name}")).startswith(str(folder))
    ]


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except FileNotFoundError:  # the descriptor by which the list was read
        return ""
