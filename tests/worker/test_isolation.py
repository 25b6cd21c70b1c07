"""What the model finds around it: its own modules, the `__main__` of coglet, nothing of ours."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from protocol.messages import Cancelled, Done
from tests.worker.driver import LAUNCH, worker
from worker import launch

if TYPE_CHECKING:
    from pathlib import Path

LIBRARIES = ("attr", "attrs", "cattrs", "msgspec", "typing_extensions")
"""What the worker itself has imported when the model is loaded."""
MINE = ("worker", "protocol", "supervisor", "tests", "httpx", "inputs", "slot", *LIBRARIES)


def test_the_models_own_modules_win(tmp_path: Path) -> None:
    for name in MINE:
        (tmp_path / f"{name}.py").write_text(f"NAME = 'mine: {name}'")
    model = """
    import importlib
    import worker, protocol
    assert worker.NAME == "mine: worker"
    class Predictor:
        def predict(self, names: list):
            found = [importlib.import_module(name) for name in names]
            return [getattr(module, "NAME", module.__name__) for module in found]
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        result = driver.predict(names=MINE)
        assert result.outputs == [f"mine: {name}" for name in MINE]
        driver.shutdown()


def test_libraries_are_the_installed_ones_where_the_model_has_none_of_its_own(
    tmp_path: Path,
) -> None:
    (tmp_path / "attrs").mkdir()  # no package: `import` goes past it
    (tmp_path / "cattrs.py").write_text("NAME = 'mine'")
    model = """
    import attrs, cattrs, msgspec
    @attrs.define
    class Answer:
        cattrs: str
    class Predictor:
        def predict(self):
            return msgspec.to_builtins(Answer(cattrs.NAME))
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [{"cattrs": "mine"}]
        driver.shutdown()


def test_a_module_that_the_standard_library_hides_is_named(tmp_path: Path) -> None:
    for name in ("uuid", "colorsys"):  # the worker has imported the first one only
        (tmp_path / f"{name}.py").write_text("def mine(): return 'mine'")
    (tmp_path / "socket").mkdir()
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "__init__.py").touch()
    model = """
    import colorsys, uuid
    class Predictor:
        def predict(self):
            return [hasattr(uuid, "mine"), hasattr(colorsys, "mine")]
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [False, True]
        driver.shutdown()
    assert [text.partition(":")[0] for text in driver.setup_log.splitlines()] == [
        "platform/__init__.py of the model is not what `import platform` finds",
        "uuid.py of the model is not what `import uuid` finds",
    ]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_main_is_that_of_coglet(tmp_path: Path, kind: str) -> None:
    model = f"""
    import sys, __main__
    class Predictor:
        {kind} predict(self):
            assert sys.modules["__main__"] is __main__
            return [sorted(vars(__main__)), sys.argv, sys.path[0], __main__.__name__]
    """
    reference = subprocess.run(
        [sys.executable, "-c", "print(sorted(globals()))"],
        capture_output=True,
        text=True,
        check=True,
    )
    names = [n for n in eval(reference.stdout) if n != "__annotations__"]
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [names, ["-c"], "", "__main__"]


def test_nothing_of_ours_is_visible(tmp_path: Path) -> None:
    model = f"""
    import importlib.util, os, sys
    class Predictor:
        def predict(self):
            ours = [name for name in sys.modules
                    if name.partition(".")[0] in ("worker", "protocol", "supervisor")]
            found = [name for name in ("worker", "protocol", "supervisor")
                     if importlib.util.find_spec(name)]
            folder = {str(LAUNCH.parents[1])!r}
            paths = [path for path in sys.path if path.startswith(folder + "/worker")
                     or os.path.realpath(path or ".") == folder]
            finders = [each for each in sys.meta_path if type(each).__module__ == "__main__"]
            return [ours, found, paths, len(finders)]
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == [[], [], [], 0]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_nothing_of_ours_imports_late(tmp_path: Path, kind: str) -> None:
    """Every import in the model's life is recorded with who asked for it."""
    model = f"""
    import builtins, pathlib, sys, time, asyncio
    from coglet._sdk import current_scope
    real, late = builtins.__import__, []
    def record(name, globals=None, *args, **kwargs):
        who = (globals or {{}}).get("__name__", "")
        if who.partition(".")[0] in ("worker", "protocol", "attr", "cattrs", "msgspec"):
            late.append((who, name))
        return real(name, globals, *args, **kwargs)
    builtins.__import__ = record

    class Predictor:
        def setup(self):
            print("set up")
        def healthcheck(self):
            return True
        {kind} predict(self, what: str, file: pathlib.Path = None, number: int = 0):
            print("log")
            current_scope().record_metric("a.b", {{"c": [1]}})
            if what == "fail":
                raise ValueError
            if what == "block":
                {"await asyncio.sleep(600)" if kind != "def" else "time.sleep(600)"}
            if what == "big":
                return "x" * 7_000_000
            if what == "late":
                return late
            if what == "file":
                path = pathlib.Path("out.png")
                path.write_bytes(b"png")
                return path
            return {{"nested": [1, {{"a": None}}]}}
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.healthcheck().error is None
        driver.healthcheck("ping_1")
        for what in ("plain", "fail", "big", "file"):
            driver.predict(what, what=what, file="data:text/plain;base64,aGk=", number=3)
        driver.start("block", what="block")
        driver.wait_for_log("log")
        driver.cancel("block")
        assert driver.result().end == Cancelled("block")
        driver.wait_idle()
        result = driver.predict("late", what="late")
        assert isinstance(result.end, Done)
        assert result.outputs == []


def test_pickle_finds_the_models_classes(tmp_path: Path) -> None:
    model = """
    import pickle
    class Thing:
        pass
    class Predictor:
        def predict(self):
            return type(pickle.loads(pickle.dumps(Thing()))).__module__
    """
    with worker(tmp_path, model) as driver:
        driver.wait_ready()
        assert driver.predict().outputs == ["predict"]


def test_started_by_a_shim_that_ignores_its_arguments(tmp_path: Path) -> None:
    """As under coglet's own server: `python -c "import coglet; …"`, no capture pipe."""
    shim = tmp_path / "python"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{LAUNCH}"\n')
    shim.chmod(0o755)
    argv = [str(shim), "-c", "import coglet; coglet.server._run_worker()"]
    model = """
    import os, sys
    class Predictor:
        def predict(self):
            os.write(1, b"raw")
            return sys.argv
    """
    with worker(tmp_path, model, argv=argv, capture=False) as driver:
        driver.wait_ready()
        result = driver.predict()
        assert result.outputs == ["-c"]
        assert result.logs == "raw"
        driver.shutdown()


def check(python: str) -> str:
    return subprocess.run(
        [python, str(LAUNCH), "--check"], capture_output=True, text=True, check=True
    ).stdout


def test_check_says_what_is_missing() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    assert check(sys.executable) == f'{{"python": "{version}", "missing": []}}\n'
    without = subprocess.run(
        [sys.executable, "-S", str(LAUNCH), "--check"], capture_output=True, text=True, check=True
    ).stdout
    assert without == f'{{"python": "{version}", "missing": ["attrs", "cattrs", "msgspec"]}}\n'


def test_check_says_what_is_too_old(tmp_path: Path) -> None:
    for name, version in (("attrs", "25.1.0"), ("cattrs", "24.9"), ("msgspec", "0.19.0")):
        info = tmp_path / f"{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
    answer = subprocess.run(
        [sys.executable, "-S", str(LAUNCH), "--check"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert answer.endswith('"missing": ["cattrs>=26.1", "msgspec>=0.20"]}\n')


def test_a_free_threaded_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert json.loads(launch.check())["refused"] == launch.FREE_THREADED
    monkeypatch.setattr(sys, "path", sys.path[:])
    assert launch.main([]) == 1
    assert "set PYTHON_GIL=1 or use the ordinary build" in capsys.readouterr().err


def test_launch_parses_on_old_interpreters() -> None:
    source = LAUNCH.read_text()
    tree = ast.parse(source, feature_version=(3, 7))
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert names <= {"json", "os", "sys"}
