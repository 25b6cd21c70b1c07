"""The command itself: help, errors, exit codes, the module path, the worker's interpreter."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

from supervisor.cli.main import main
from supervisor.cli.options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _environment_of_nobody(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("COG_", "COGLET_")) or name in ("PORT", "LOG_FORMAT", "RUST_LOG"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _limit_of_descriptors():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def served(monkeypatch):
    """The configurations with which the server was run."""
    configs = []

    async def run_server(config):
        configs.append(config)
        return 7

    monkeypatch.setitem(sys.modules, "supervisor.run", types.SimpleNamespace(run_server=run_server))
    monkeypatch.setattr("supervisor.logging.configure_logging", lambda config: None)
    return configs


@pytest.fixture
def command(monkeypatch, capsys):
    """Call the command; its exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["coglet-trio", *arguments])
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def interpreter(tmp_path):
    """An interpreter that is none: a script that answers `--check` with the given text."""

    def make(answer: str, *, version: str = "3.12.1", code: int = 0) -> str:
        path = tmp_path / "python3"
        path.write_text(
            textwrap.dedent(f"""\
            #!/bin/sh
            if [ "$1" = -c ]; then echo {version}; exit 0; fi
            echo "told: $*" >&2
            echo '{answer}'
            exit {code}
            """)
        )
        path.chmod(0o755)
        return str(path)

    return make


# --- help and errors ---------------------------------------------------------------------------


def test_without_a_command_it_prints_help(command) -> None:
    code, out, err = command()
    assert (code, err) == (0, "")
    assert "Commands:" in out
    assert "serve" in out


def test_the_version(command) -> None:
    code, out, _ = command("--version")
    assert code == 0
    assert out.startswith("coglet-trio, version ")


def test_help_names_every_option_its_variables_and_its_default(command) -> None:
    code, out, _ = command("serve", "--help")
    text = " ".join(out.split())
    assert code == 0
    for option in OPTIONS:
        assert option.flag in text
        assert option.variable in text
        for variable in option.coglets:
            assert variable.name in text
    assert "default: 100 MiB" in text
    assert "default: 15 s" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve"], "no model: give its reference"),
        (["serve", "predict.py", "--port", "x"], "--port: 'x' is not a port"),
        (["serve", "predict.py", "extra"], "unexpected extra argument"),
        (["serve", "predict.py", "--prt", "1"], "No such option"),
        (["serve", "predict.py", "--port"], "requires an argument"),
        (["sreve"], "No such command"),
        (["serve", "p.py", "--auth-token", ""], "--auth-token: a token is visible ASCII"),
        (["serve", "p.py", "--python", "/nowhere/python"], "/nowhere/python: no such program"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_code_2(command, served, arguments, complaint) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("coglet-trio: error: ")
    assert complaint in err
    assert err.count("\n") == 1
    assert served == []


# --- serving -----------------------------------------------------------------------------------


def test_serve_runs_the_server_with_what_was_asked(command, served) -> None:
    code, _, _ = command(
        *("serve", "predict.py:Predictor", "--port", "0", "--await-explicit-shutdown"),
        *("--cancel-grace", "0.5", "--max-logs", "1KiB"),
    )
    assert code == 7
    (config,) = served
    assert config.predictor_ref == "predict.py:Predictor"
    assert config.port == 0
    assert config.await_explicit_shutdown
    assert config.times.cancel_grace == 0.5
    assert config.limits.max_logs == 1024
    assert config.python is None


def test_an_origin_may_be_given_more_than_once(command, served) -> None:
    origins = ("--cors-origin", "https://a.example", "--cors-origin", "http://b,http://c")
    assert command("serve", "predict.py", *origins)[0] == 7
    assert command("serve", "predict.py")[0] == 7
    given, default = served
    assert given.cors_origins == ("https://a.example", "http://b", "http://c")
    assert default.cors_origins == ()


def test_a_switch_can_be_turned_off_against_the_environment(command, served, monkeypatch) -> None:
    monkeypatch.setenv("COGLET_AWAIT_EXPLICIT_SHUTDOWN", "1")
    command("serve", "predict.py")
    command("serve", "predict.py", "--no-await-explicit-shutdown")
    assert [config.await_explicit_shutdown for config in served] == [True, False]


def test_the_limit_of_descriptors_is_raised_and_the_worker_keeps_the_old_one(
    command, served
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    command("serve", "predict.py")
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
    command("serve", "predict.py", "--max-concurrency", "200")
    assert [config.worker_descriptors for config in served] == [300, 528]


# --- the worker's interpreter ------------------------------------------------------------------


def test_an_interpreter_that_has_all_is_passed_on_by_its_absolute_path(
    command, served, interpreter, monkeypatch
) -> None:
    path = interpreter(json.dumps({"python": "3.12.1", "missing": []}))
    monkeypatch.chdir(Path(path).parent)
    code, _, _ = command("serve", "predict.py", "--python", "./python3")
    assert code == 7
    assert served[0].python == path


def test_a_name_is_looked_up_on_the_path(command, served, interpreter, monkeypatch) -> None:
    path = interpreter(json.dumps({"python": "3.12.1", "missing": []}))
    monkeypatch.setenv("PATH", str(Path(path).parent), prepend=os.pathsep)
    command("serve", "predict.py", "--python", "python3")
    assert served[0].python == path


def test_missing_packages_are_told_with_the_command_that_installs_them(
    command, served, interpreter
) -> None:
    path = interpreter(json.dumps({"python": "3.12.1", "missing": ["attrs", "cattrs>=26.1"]}))
    code, _, err = command("serve", "predict.py", "--python", path)
    assert code == 2
    assert f"run: {path} -m pip install attrs 'cattrs>=26.1'" in err
    assert served == []


def test_a_python_that_is_too_old_is_told_by_its_version(command, served, interpreter) -> None:
    # 3.10 does not know -P and never reads the script.
    path = interpreter("unknown option -P", version="3.10.13", code=2)
    code, _, err = command("serve", "predict.py", "--python", path)
    assert code == 2
    assert f"{path} is Python 3.10.13; the worker needs 3.11 or later" in err
    assert served == []


def test_a_python_of_the_wrong_build_is_told(command, served, interpreter) -> None:
    path = interpreter(json.dumps({"python": "3.13.1", "missing": [], "refused": "odd: use mine"}))
    code, _, err = command("serve", "predict.py", "--python", path)
    assert code == 2
    assert f"--python: {path} is odd: use mine" in err
    assert served == []


def test_a_program_that_is_no_python_is_told(command, served) -> None:
    code, _, err = command("serve", "predict.py", "--python", "/bin/true")
    assert code == 2
    assert "/bin/true is not a Python interpreter" in err
    assert served == []


def test_a_python_that_cannot_start_the_worker_is_told_with_its_last_words(
    command, served, interpreter
) -> None:
    path = interpreter("", code=1)
    code, _, err = command("serve", "predict.py", "--python", path)
    assert code == 2
    assert f"{path} can't start the worker: told: -P {ROOT}/worker/launch.py --check" in err
    assert served == []


def test_a_foreign_worker_is_not_checked(command, served) -> None:
    code, _, _ = command("serve", "p.py", "--worker-command", "w -x", "--python", "/bin/true")
    assert code == 7
    assert served[0].worker_command == ("w", "-x")


# --- the module path ---------------------------------------------------------------------------

TRAPS = ("protocol", "worker", "click", "trio", "attrs", "structlog", "json", "tests", "difflib")


@pytest.fixture
def model_folder(tmp_path):
    """A folder with a module of its own for many a name that we import."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the model\\'s {name} was run')\n")
    return tmp_path


def run_in(folder: Path, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
    outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        argv, cwd=folder, env=outside | environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("environ", [{}, {"PYTHONSAFEPATH": "1"}], ids=["usual", "safe path"])
def test_modules_of_the_models_folder_are_not_ours(model_folder, environ) -> None:
    result = run_in(
        model_folder,
        *(sys.executable, "-m", "supervisor", "serve", "predict.py", "--port", "x"),
        PYTHONPATH=str(ROOT),
        **environ,
    )
    assert "'x' is not a port" in result.stderr
    assert result.returncode == 2


def test_a_checkout_that_is_not_installed_runs_from_its_own_folder() -> None:
    result = run_in(ROOT, sys.executable, "-m", "supervisor", "--version")
    assert (result.returncode, result.stderr) == (0, "")


def test_help_does_not_wait_for_what_only_a_server_needs() -> None:
    program = "import supervisor.cli.main, sys; print({'trio', 'quart'} & set(sys.modules))"
    result = run_in(ROOT, sys.executable, "-c", program)
    assert result.stdout == "set()\n", result.stderr
