"""Environments with a published coglet, built once per checkout under `.venvs/`.

Each holds one pinned release of `cog` and `coglet`, and what our worker needs of its interpreter:
a model runs there under coglet's worker and under ours. The programs in `scripts/` use them too, so
this module needs nothing but the standard library and what makes the checkout's own.

A stamp says what is complete. It is taken away before anything is changed and written last, so an
install that was interrupted is never trusted; a lock makes a second builder wait for the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.prepare_venv import base_python, pip_environ

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ROOT", "VERSIONS", "EnvironmentFailure", "environment_python"]

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("0.23.1", "0.19.1")
"""The releases of coglet that we are held against, newest first."""

_VENVS = ROOT / ".venvs"
_INSTALL_LIMIT = 600.0
"""Seconds for one step of an installation."""


class EnvironmentFailure(Exception):
    """An environment could not be built; the text holds the end of what the installer said."""


def environment_python(version: str) -> Path:
    """The interpreter of the environment that holds coglet `version`; built if it is not there.

    Raises:
        EnvironmentFailure: it could not be built.
    """
    requirements = Path(__file__).parent / "requirements" / f"coglet-{version}.txt"
    venv = _VENVS / f"coglet-{version}"
    stamp = venv / ".complete"
    wanted = hashlib.sha256(
        f"{sys.version}\0{sys.base_prefix}\0{venv}\0".encode() + requirements.read_bytes()
    ).hexdigest()
    with _alone(_VENVS / f"coglet-{version}.lock") as lock:
        if not stamp.is_file() or stamp.read_text("utf-8") != wanted:
            stamp.unlink(missing_ok=True)
            _build(venv, requirements, lock)
            stamp.write_text(wanted, "utf-8")
    return venv / "bin" / "python"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[int]:
    """Hold the lock file `path`; another process that wants it waits."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def _build(venv: Path, requirements: Path, lock: int) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    _run(lock, base_python(), "-I", "-m", "venv", str(venv))
    pip = [str(venv / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check"]
    _run(
        lock,
        *[*pip, "install", "--quiet", "--no-input", "--require-hashes", "-r", str(requirements)],
    )


def _run(lock: int, *argv: str) -> None:
    """Run one step. The lock goes with it: if we are killed, it is held until the step ends."""
    try:
        result = subprocess.run(
            argv,
            env=pip_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            timeout=_INSTALL_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailure(f"{argv}: not done after {error.timeout} s") from error
    if result.returncode != 0:
        said = result.stdout[-2000:].decode("utf-8", "replace")
        raise EnvironmentFailure(f"{argv}: exit code {result.returncode}\n{said}")
