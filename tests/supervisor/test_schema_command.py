"""`coglet-trio schema`: what is printed where, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def schema(tmp_path: Path) -> Run:
    """Runs the command in a folder where `predict.py` has the given source."""

    def run(
        source: str, *arguments: str, stderr: int = subprocess.PIPE, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "predict.py").write_text(textwrap.dedent(source))
        plain = {n: v for n, v in os.environ.items() if not n.startswith(("COG", "PYTHON"))}
        return subprocess.run(
            [sys.executable, "-m", "supervisor", "schema", *arguments],
            cwd=tmp_path,
            env={**plain, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def inputs_of(result: subprocess.CompletedProcess[str], component: str = "Input") -> list[str]:
    assert result.returncode == 0, result.stderr
    return list(json.loads(result.stdout)["components"]["schemas"][component]["properties"])


def test_the_document_alone_is_on_stdout(schema: Run) -> None:
    result = schema(
        """
        import os, subprocess, sys
        print("printed")
        os.write(1, b"written")
        subprocess.run(["echo", "from a child"])
        class Predictor:
            def setup(self): raise RuntimeError("set up")
            def predict(self, text: str, größe: int = 1) -> str: ...
        """,
        "predict.py:Predictor",
    )
    assert inputs_of(result) == ["text", "größe"]
    assert (
        result.stdout == json.dumps(json.loads(result.stdout), indent=2, ensure_ascii=False) + "\n"
    )
    for text in ("printed", "written", "from a child"):
        assert text in result.stderr
    assert "set up" not in result.stderr


def test_the_training_side(schema: Run) -> None:
    source = "class Trainer:\n    def train(self, steps: int) -> str: ..."
    result = schema(source, "predict.py:Trainer", "--x-mode", "train")
    assert inputs_of(result, "TrainingInput") == ["steps"]
    by_variable = schema(source, COGLET_REF="predict.py:Trainer", COGLET_X_MODE="train")
    assert by_variable.stdout == result.stdout


def test_the_document_of_the_image_wins(schema: Run, tmp_path: Path) -> None:
    (tmp_path / ".cog").mkdir()
    (tmp_path / ".cog" / "openapi_schema.json").write_text('{"z":1,"a":{"b":2}}')
    result = schema("def run(): ...", "predict.py:run")
    assert result.stdout == '{\n  "z": 1,\n  "a": {\n    "b": 2\n  }\n}\n'


def test_a_model_that_cannot_be_loaded_tells_why(schema: Run) -> None:
    result = schema("def broken():\n    import nowhere\nprint('before')\nbroken()", "predict.py")
    assert (result.returncode, result.stdout) == (1, "")
    before, frames, *_, error = result.stderr.splitlines()
    assert (before, frames) == ("before", "Traceback (most recent call last):")
    assert 'predict.py", line 4, in <module>' in result.stderr
    assert "launch.py" not in result.stderr
    assert error == ("failed to load predictor: ModuleNotFoundError: No module named 'nowhere'")


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("import os; os._exit(0)", "exited with code 0"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
    ],
)
def test_a_model_that_ends_its_interpreter(source: str, end: str, schema: Run) -> None:
    result = schema(source, "predict.py")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"the interpreter that loaded the model {end}\n"


def test_a_model_that_no_document_can_describe(schema: Run) -> None:
    result = schema(
        """
        class Hostile:
            def __getattr__(self, name): raise RuntimeError("do not look at me")
        def run(n=Hostile()): ...
        """,
        "predict.py:run",
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "do not look at me" in result.stderr


def test_a_process_that_the_model_leaves_behind_is_not_waited_for(schema: Run) -> None:
    result = schema(
        """
        import os, signal
        pid = os.fork()
        if pid == 0:
            signal.pause()
        def run(left_behind: int = pid): ...
        """,
        "predict.py:run",
        stderr=subprocess.DEVNULL,
    )
    inputs = json.loads(result.stdout)["components"]["schemas"]["Input"]
    os.kill(inputs["properties"]["left_behind"]["default"], 9)


def test_the_server_s_secrets_are_withheld(schema: Run) -> None:
    source = "import os\ndef run(seen: bool = 'WEBHOOK_AUTH_TOKEN' in os.environ): ..."
    result = schema(source, "predict.py:run", WEBHOOK_AUTH_TOKEN="secret")
    inputs = json.loads(result.stdout)["components"]["schemas"]["Input"]
    assert inputs["properties"]["seen"]["default"] is False


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "no model: give its reference"),
        (["predict.py", "--x-mode", "both"], "--x-mode: 'both' is none of predict, train"),
        (["predict.py", "--port", "1"], "No such option"),
        (["predict.py", "--python", "/nowhere/python"], "/nowhere/python: no such program"),
        (["predict.py", "--python", "/bin/true"], "/bin/true is not a Python interpreter"),
    ],
)
def test_usage_errors(arguments: list[str], complaint: str, schema: Run) -> None:
    result = schema("", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert result.stderr.endswith("(see coglet-trio schema --help)\n")
    assert result.stderr.count("\n") == 1


def test_variables_of_the_server_are_not_minded(schema: Run) -> None:
    result = schema("def run(a: int): ...", "predict.py:run", COGLET_PORT="no port")
    assert inputs_of(result) == ["a"]
