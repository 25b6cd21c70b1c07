from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.worker.driver import worker
from tests.worker.event_loops import NAMES
from worker import sdk
from worker.predictor import load_predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.worker.driver import Driver
    from tests.worker.event_loops import LoopWorker
    from worker.predictor import Predictor

CHECKOUT = str(Path(__file__).parents[2])

_numbers = itertools.count()


@pytest.fixture
def load_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Predictor]]:
    """Loads a model from its source text; the working folder is the model's own, as in a worker."""
    sdk.install()
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def load(source: str, name: str = "Predictor", *, is_train: bool = False) -> Predictor:
        path = tmp_path / f"model_{next(_numbers)}.py"
        path.write_text(textwrap.dedent(source))
        return load_predictor(f"{path.name}:{name}" if name else path.name, is_train=is_train)

    yield load
    for module in set(sys.modules) - before:
        if module.startswith("model_"):
            del sys.modules[module]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy stands between us and our servers."""
    for name in [*os.environ]:
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[[str], str]:
    """Runs source text in a fresh interpreter, in a folder of its own, and answers what it prints.

    The interpreter has only our packages (from the last entry of its path, `CHECKOUT`) and what is
    installed where the tests run.
    """

    def run(source: str) -> str:
        preamble = f"import sys; CHECKOUT = {CHECKOUT!r}; sys.path.append(CHECKOUT)\n"
        finished = subprocess.run(
            [sys.executable, "-P", "-c", preamble + source],
            cwd=tmp_path,
            # A relative entry of the test run's own path would mean the model's folder there.
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def _loop_worker(folder: Path, loop: str) -> LoopWorker:
    def start(
        model: str,
        *,
        slots: int = 1,
        options: dict[str, object] | None = None,
        is_train: bool = False,
    ) -> AbstractContextManager[Driver]:
        return worker(
            folder,
            NAMES[loop] + textwrap.dedent(model),
            slots=slots,
            options={"cancel_grace": 5.0, "event_loop": loop, **(options or {})},
            is_train=is_train,
        )

    return start


@pytest.fixture(params=["asyncio", "trio"])
def loop_worker(request: pytest.FixtureRequest, tmp_path: Path) -> LoopWorker:
    """Starts a worker on an event loop that the model need not know."""
    return _loop_worker(tmp_path, request.param)


@pytest.fixture(params=["asyncio", "uvloop"])
def asyncio_worker(request: pytest.FixtureRequest, tmp_path: Path) -> LoopWorker:
    """Starts a worker on one of the loops of asyncio."""
    return _loop_worker(tmp_path, request.param)


@pytest.fixture
def trio_worker(tmp_path: Path) -> LoopWorker:
    """Starts a worker on Trio."""
    return _loop_worker(tmp_path, "trio")
