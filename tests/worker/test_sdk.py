from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunPython = Callable[[str], str]


def test_the_published_sdk_runs_without_the_native_half(run_python: RunPython) -> None:
    printed = run_python(
        """
from worker import sdk
sdk.install()
import cog
print(cog.CancelationException is sdk.CancelationException)
print(type(cog.current_scope()).__name__)
print([name for name in sys.modules if name.startswith("coglet.") and name != "coglet._sdk"])
"""
    )
    assert printed.split("\n")[:3] == ["True", "Scope", "[]"]


def test_cogs_own_metric_calls_reach_the_scope(run_python: RunPython) -> None:
    printed = run_python(
        """
from worker import sdk
sdk.install()
import cog
from worker.scope import active_scope
class Runner(cog.BasePredictor):
    def predict(self):
        cog.current_scope().record_metric("a", 1)
        cog.current_scope().metrics["b"] = 2.5
        cog.emit_metric("c", 3)
with active_scope(lambda metric: print(metric.name, metric.value), {}):
    Runner().predict()
"""
    )
    assert printed == "a 1\nb 2.5\nc 3\n"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("coglet.__version__", "0.23.1"),
        ("coglet.server.active", "True"),
        ("coglet._sdk.current_scope().__class__ is coglet._sdk.Scope", "True"),
        ("__import__('coglet._sdk')._sdk is coglet._sdk", "True"),
        ("__import__('importlib.util').util.find_spec('coglet').name", "coglet"),
        ("issubclass(coglet.CancelationException, Exception)", "False"),
        ("coglet.CancelationException.__module__", "coglet"),
    ],
)
def test_the_stand_in_has_what_coglet_has(
    expression: str, value: str, run_python: RunPython
) -> None:
    source = f"from worker import sdk; sdk.install(); import coglet; print({expression})"
    assert run_python(source) == f"{value}\n"


def test_a_model_cannot_start_a_server_inside_a_worker(run_python: RunPython) -> None:
    printed = run_python(
        """
from worker import sdk; sdk.install()
import coglet
try:
    coglet.server.serve(predictor_ref="x", port=1)
except RuntimeError as error:
    print(error)
"""
    )
    assert printed == "a server cannot be started inside a worker\n"


def test_a_coglet_that_is_there_already_gets_our_parts(run_python: RunPython) -> None:
    printed = run_python(
        """
import types
there = sys.modules["coglet"] = types.ModuleType("coglet")
there.other = "kept"
from worker import sdk; sdk.install()
import coglet
print(coglet is there, coglet.other, coglet.CancelationException is sdk.CancelationException)
"""
    )
    assert printed == "True kept True\n"


def test_nothing_of_ours_is_imported_after_our_modules_are_gone(
    run_python: RunPython, tmp_path: Path
) -> None:
    """The model finds its own `worker` and `protocol`, whatever we do later."""
    (tmp_path / "worker.py").write_text("whose = 'the model'")
    (tmp_path / "protocol.py").write_text("whose = 'the model'")
    (tmp_path / "predict.py").write_text(
        """
import enum, typing
from pathlib import Path
import worker, protocol

class Style(enum.Enum):
    PLAIN = "plain"

class Predictor:
    def predict(self, file: Path, style: Style, texts: list[str] = []) -> dict[str, typing.Any]:
        return {"whose": [worker.whose, protocol.whose], "file": file.read_text(), "style": style}
"""
    )
    printed = run_python(
        """
import os, tempfile
from worker import inputs, options, outputs, predictor, schema, scope, sdk
sdk.install()
sys.path.remove(CHECKOUT)
for name in [*sys.modules]:
    if name.split(".")[0] in ("worker", "protocol"):
        del sys.modules[name]
sys.path.insert(0, "")
loaded = predictor.load_predictor("predict.py:Predictor", is_train=False)
document = schema.model_schema(loaded)
writer = outputs.OutputWriter(tempfile.mkdtemp())
values = {"file": "data:,hello", "style": "plain"}
given = inputs.prepared_inputs(loaded.signature, values, options.Options())
with scope.active_scope(print, {}), given as arguments:
    message = writer.message(loaded.call(**arguments))
print(bytes(message.output).decode())
print(document["components"]["schemas"]["Input"]["required"])
print("worker.inputs" in sys.modules, sys.modules["worker"].whose)
"""
    )
    assert printed.splitlines() == [
        '{"whose":["the model","the model"],"file":"hello","style":"plain"}',
        "['file', 'style']",
        "False the model",
    ]
