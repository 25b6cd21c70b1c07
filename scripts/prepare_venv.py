"""Make the checkout's own virtual environment, `.venv`, hold exactly one of the locked sets.

    python3 scripts/prepare_venv.py examples|dev

Only the standard library is used: this runs before anything is installed. What is there already is
not installed again. A stamp says what is complete; it is taken away before anything is changed and
written last, so an install that was interrupted is never trusted, and a lock on the folder makes a
second install wait for the first.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = VENV / ".lock"
STAMP = VENV / ".complete.json"
SETS = ("runtime", "examples", "dev")
"""The locked sets; each holds all of the one before it."""


class PrepareError(Exception):
    """The environment can't be made; the text says what to do."""


def say(text: str) -> None:
    """Tell the person at the terminal, one line a step."""
    print(f"coglet-trio: {text}", file=sys.stderr, flush=True)


def digest_of(name: str) -> str:
    """What the content of the set `name` depends on, as a hash: its lock, the project's table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    relevant = {key: project.get(key) for key in ("build-system", "project")}
    lock = (ROOT / "requirements" / f"{name}.txt").read_bytes()
    return hashlib.sha256(json.dumps(relevant).encode() + b"\0" + lock).hexdigest()


def base_python() -> str:
    """The interpreter outside of any virtual environment; ours may be the one to be replaced."""
    return getattr(sys, "_base_executable", None) or sys.executable


def pip_environ() -> dict[str, str]:
    """Our variables, but a pip that was configured for the user's own purposes installs here."""
    environ = {key: value for key, value in os.environ.items() if key != "PIP_TARGET"}
    return environ | {"PIP_USER": "0"}


def wanted_base() -> dict[str, str]:
    """What makes an existing environment unusable when it changes."""
    return {"python": sys.version, "executable": base_python(), "checkout": str(ROOT)}


def complete_sets() -> list[str]:
    """The sets that the environment holds completely; none when one is not what its lock says."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
    except (OSError, ValueError):
        return []
    if stamp.get("base") != wanted_base() or not (VENV / "bin" / "python").exists():
        return []
    done: dict[str, str] = stamp.get("sets", {})
    current = all(done[name] == digest_of(name) for name in done)
    return [name for name in SETS if name in done] if current else []


def satisfies(done: list[str], name: str) -> bool:
    """Whether one of the sets in `done` holds all of the set `name`."""
    return any(SETS.index(one) >= SETS.index(name) for one in done)


def run(step: str, held: int, *argv: str) -> None:
    """Run one command of the installation, `step` in words.

    The lock's descriptor `held` goes with it: should we be killed, the lock is held until it ends.

    Raises:
        PrepareError: it failed; its own output has been shown.
    """
    say(step)
    result = subprocess.run(argv, env=pip_environ(), check=False, pass_fds=(held,))
    if result.returncode != 0:
        raise PrepareError(
            f"{step}: failed (exit code {result.returncode}); run it again once mended"
        )


def clear() -> None:
    """Remove everything in the environment but the lock that we hold."""
    for entry in VENV.iterdir():
        if entry == LOCK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def install(name: str, done: list[str], held: int) -> None:
    """Bring the environment to the set `name`; a fresh one unless it only lacks packages."""
    STAMP.unlink(missing_ok=True)
    python = str(VENV / "bin" / "python")
    if not done:
        clear()
        run(f"virtual environment {VENV}", held, base_python(), "-I", "-m", "venv", str(VENV))
    pip = [python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    requirements = ROOT / "requirements" / f"{name}.txt"
    run(
        f"packages of requirements/{name}.txt",
        held,
        *[*pip, "--no-input", "--require-hashes", "-r", str(requirements)],
    )
    run(
        "this checkout, editable",
        held,
        *[*pip, "--no-index", "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    )
    sets = {one: digest_of(one) for one in [*done, name]}
    draft = STAMP.with_suffix(".draft")
    draft.write_text(json.dumps({"base": wanted_base(), "sets": sets}, indent=1), "utf-8")
    draft.replace(STAMP)


def prepare(name: str) -> None:
    """See the module's text.

    Raises:
        PrepareError: see its text.
    """
    if VENV.is_dir() and any(VENV.iterdir()) and not LOCK.exists():
        raise PrepareError(f"{VENV} was not made by scripts/prepare_venv.py: move it away first")
    VENV.mkdir(exist_ok=True)
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another installation into this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        done = complete_sets()
        if satisfies(done, name):
            return
        started = time.monotonic()
        install(name, done, lock.fileno())
        say(f"installed in {time.monotonic() - started:.0f} s")


def main() -> int:
    """The command."""
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        say(f"usage: prepare_venv.py {'|'.join(SETS)}")
        return 2
    try:
        prepare(sys.argv[1])
    except PrepareError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next run starts the installation again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
