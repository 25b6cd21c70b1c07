"""`coglet-trio schema REF`: the model's OpenAPI document, as a server would answer it.

The model's own interpreter loads it, as it does for a worker, and does not set it up. All that it
prints meanwhile goes to stderr.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Final

import click

from supervisor.cli.interpreter import LAUNCH, worker_interpreter
from supervisor.cli.options import MODE, OPTIONS, PYTHON, REF
from supervisor.cli.resolve import resolve_model, secret_variables
from supervisor.link import WorkerEnd

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SCHEMA_OPTIONS", "print_schema"]

SCHEMA_OPTIONS: Final = (REF, MODE, PYTHON)
"""The options that the command has."""


def print_schema(flags: Mapping[str, str]) -> int:
    """Print the document of a model; the exit code: 1 if it can't be loaded, stderr says why.

    Raises:
        UsageError: a value is not possible, or there is no model.
    """
    model = resolve_model(flags, os.environ)
    command = [worker_interpreter(model.python), "-P", str(LAUNCH), "--schema", model.ref]
    secrets = secret_variables(OPTIONS)
    # A file, not a pipe: a process that the model leaves behind could hold a pipe open for ever.
    with tempfile.TemporaryFile() as answer:
        ended = subprocess.run(  # noqa: S603 - the operator's own interpreter
            [*command, "--train"] if model.is_train else command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            env={name: value for name, value in os.environ.items() if name not in secrets},
            check=False,
        )
        answer.seek(0)
        text = answer.read()
    if text:
        click.echo(json.dumps(json.loads(text), indent=2, ensure_ascii=False))
        return 0
    if ended.returncode != 1:
        code = ended.returncode
        end = WorkerEnd(code, None) if code >= 0 else WorkerEnd(None, -code)
        click.echo(f"the interpreter that loaded the model {end.describe()}", err=True)
    return 1
