"""Whether the interpreter of `--python` can run our worker; asked before the first start.

A model's environment needs little of ours. What it lacks is told with the command that mends it,
before a worker is started that could only fail.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from supervisor.cli.resolve import UsageError

__all__ = ["LAUNCH", "worker_interpreter"]

LAUNCH: Final = Path(__file__).resolve().parents[2] / "worker" / "launch.py"
"""What the interpreter will be started with; never imported from here."""

_ANSWER_WITHIN: Final = 60.0
"""Seconds; a cold start from a network file system takes its time."""


def worker_interpreter(python: str | None) -> str:
    """The absolute path of the interpreter for the worker, which is asked whether it can run it.

    Args:
        python: a path or a name on PATH; None: our own, which can. Blocks for a moment if not.

    Raises:
        UsageError: there is no such program, it will not do, or packages are missing there.
    """
    if python is None:
        return sys.executable
    path = _find(python)
    _require_packages(path)
    return path


def _find(python: str) -> str:
    """The absolute path of `python`. Symbolic links stay: a venv is one.

    Raises:
        UsageError: there is no such program.
    """
    found = shutil.which(os.path.expanduser(python))
    if found is None:
        raise UsageError(f"--python: {python}: no such program")
    return os.path.abspath(found)


def _require_packages(python: str) -> None:
    """Ask the interpreter `python` for what the worker needs.

    Raises:
        UsageError: Python is too old or of the wrong build, or packages are missing; the text says
            what to do.
    """
    answer = _ask(python)
    if refused := answer.get("refused"):
        raise UsageError(f"--python: {python} is {refused}")
    missing = answer["missing"]
    if missing:
        command = shlex.join([python, "-m", "pip", "install", *missing])
        raise UsageError(f"--python: packages are missing there; run: {command}")


def _ask(python: str) -> dict[str, Any]:
    """What `launch.py --check` says."""
    checked = _run(python, "-P", str(LAUNCH), "--check")
    try:
        answer = json.loads(checked.stdout)
    except ValueError:
        answer = None
    if checked.returncode == 0 and isinstance(answer, dict) and "missing" in answer:
        _require_version(python, str(answer.get("python", "")))
        return answer
    # `-P` came with 3.11: an older interpreter ends before it reads the script.
    version = _run(python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])")
    _require_version(python, version.stdout.decode(errors="replace").strip())
    last = checked.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no answer"]
    raise UsageError(f"--python: {python} can't start the worker: {last[0]}")


def _require_version(python: str, version: str) -> None:
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        raise UsageError(f"--python: {python} is not a Python interpreter") from None
    if numbers < (3, 11):
        raise UsageError(f"--python: {python} is Python {version}; the worker needs 3.11 or later")


def _run(python: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - the operator's own interpreter
            [python, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_WITHIN,
            check=False,
        )
    except OSError as error:
        raise UsageError(f"--python: {python}: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        text = f"--python: {python} did not answer within {_ANSWER_WITHIN:g} s"
        raise UsageError(text) from None
