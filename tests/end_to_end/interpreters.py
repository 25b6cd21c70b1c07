"""Environments for models, other than the one that the tests run in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from scripts.prepare_venv import pip_environ
from tests.end_to_end.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["bare_environment", "install_what_the_worker_needs"]


def bare_environment(folder: Path, *, base: str = sys.executable, sees_base: bool = False) -> Path:
    """The interpreter of a new environment, without even pip.

    Args:
        folder: where it is made.
        base: the interpreter that it is made of.
        sees_base: whether it has what is installed for `base`.
    """
    options = ["--without-pip", *(["--system-site-packages"] if sees_base else [])]
    subprocess.run([base, "-I", "-m", "venv", *options, str(folder)], check=True)
    return folder / "bin" / "python"


def install_what_the_worker_needs(python: Path) -> None:
    """Install attrs, cattrs and msgspec, as they are locked for models' own environments."""
    pip = [sys.executable, "-I", "-m", "pip", "--python", str(python), "install", "--quiet"]
    locked = ["--require-hashes", "--no-input", "-r", str(ROOT / "requirements" / "worker.txt")]
    subprocess.run([*pip, *locked], env=pip_environ(), check=True)
