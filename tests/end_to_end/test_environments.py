"""Where the model runs: another interpreter, a folder full of our names, secrets around it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
import trio

from tests.end_to_end.interpreters import bare_environment, install_what_the_worker_needs
from tests.end_to_end.server import COMMAND, MODELS, ROOT, environment, serving, within

if TYPE_CHECKING:
    from pathlib import Path

OURS = "worker protocol supervisor trio quart httpx structlog click tests"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An environment that holds nothing at all."""
    return bare_environment(tmp_path_factory.mktemp("bare") / "venv")


@pytest.fixture(scope="module")
def small_python(tmp_path_factory) -> Path:
    """An environment that holds what the worker needs: attrs, cattrs, msgspec."""
    python = bare_environment(tmp_path_factory.mktemp("small") / "venv")
    install_what_the_worker_needs(python)
    return python


async def test_a_model_runs_in_an_environment_that_has_only_what_the_worker_needs(
    small_python: Path,
) -> None:
    async with serving("visible.py:Predictor", "--python", str(small_python)) as server:
        with within(20):
            found = await server.output(names=f"attrs cattrs msgspec {OURS}")
    assert found.pop("executable") == str(small_python)
    assert {name for name, place in found.items() if place != "missing"} == {
        *("attrs", "cattrs", "msgspec")
    }


async def test_an_environment_that_lacks_something_is_refused_with_the_command(
    bare_python: Path,
) -> None:
    result = await trio.run_process(
        [*COMMAND, "serve", "echo.py:Predictor", "--python", str(bare_python)],
        cwd=MODELS,
        env=environment(),
        capture_stderr=True,
        check=False,
    )
    assert result.returncode == 2
    text = result.stderr.decode()
    assert f"{bare_python} -m pip install attrs cattrs msgspec" in text
    assert text.count("\n") == 1


async def test_a_models_own_modules_win_whatever_they_are_called() -> None:
    async with serving("predict.py:Predictor", cwd=MODELS / "own_modules") as server:
        with within(20):
            found = await server.output()
    names = ("worker", "protocol", "supervisor", "tests", "httpx", "protocol")
    assert found == [f"the model's {name}" for name in names]


async def test_a_checkout_is_not_visible_to_the_models_that_it_serves() -> None:
    ours = ("worker", "protocol", "supervisor", "tests", "scripts")
    async with serving("visible.py:Predictor") as server:
        with within(20):
            found = await server.output(names=" ".join(ours))
    assert {name: found[name] for name in ours} == dict.fromkeys(ours, "missing")


async def test_they_win_under_python_m_supervisor_too(tmp_path: Path) -> None:
    """There a `supervisor.py` is out of reach, so this folder has all but that."""
    for source in (MODELS / "own_modules").glob("*.py"):
        if source.name != "supervisor.py":
            text = source.read_text().replace("supervisor, ", "").replace("import supervisor\n", "")
            (tmp_path / source.name).write_text(text)
    command = (sys.executable, "-m", "supervisor")
    path = {} if _installed() else {"PYTHONPATH": str(ROOT)}
    async with serving("predict.py:Predictor", cwd=tmp_path, command=command, **path) as server:
        with within(20):
            found = await server.output()
    names = ("worker", "protocol", "tests", "httpx", "protocol")
    assert found == [f"the model's {name}" for name in names]


def _installed() -> bool:
    return COMMAND[0] != sys.executable


async def test_secrets_are_withheld_from_the_model(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(
        "import os\n"
        "class Predictor:\n"
        "    def predict(self) -> list[str]:\n"
        "        return [os.environ.get(n, 'unset') for n in ('WEBHOOK_AUTH_TOKEN', 'PUBLIC')]\n"
    )
    secrets = {"WEBHOOK_AUTH_TOKEN": "hidden-1234", "PUBLIC": "seen"}
    async with serving("predict.py:Predictor", cwd=tmp_path, **secrets) as server:
        with within(20):
            assert await server.output() == ["unset", "seen"]
    assert "hidden-1234" not in str(server.lines)


async def test_the_environment_configures_it_as_the_flags_do() -> None:
    options = {"COG_PREDICT_TYPE_STUB": "sleeper.py:Predictor", "COGLET_MAXBODY": "1"}
    async with serving("echo.py:Predictor", **options, COGLET_MAX_BODY="1KiB") as server:
        with within(20):
            assert await server.output(text="the flag won") == "the flag won"
            big = {"input": {"text": "x" * 2000}}
            assert (await server.http.post("/predictions", json=big)).status_code == 413
            await server.said("COGLET_MAXBODY is not an option")
    assert os.environ.get("COGLET_MAX_BODY") is None
