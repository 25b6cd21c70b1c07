"""In the worker's place: load a model, print its OpenAPI document, end. Nothing is set up."""

from __future__ import annotations

import os
import sys

from protocol.json_text import dumps
from worker import sdk
from worker.error_text import model_traceback
from worker.predictor import LoadError, load_predictor
from worker.schema import model_schema

__all__ = ["print_schema"]


def print_schema(ref: str, *, is_train: bool) -> int:
    """Print the document as JSON; the exit code: 1 if there is none, stderr says why."""
    # Whatever else is written to stdout, by the model or by a library in C, goes to stderr.
    answer = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr  # which, unlike a stdout that is no terminal, holds nothing back
    sdk.install()
    try:
        predictor = load_predictor(ref, is_train=is_train)
    except LoadError as error:
        sys.stderr.write(f"{model_traceback(error.__cause__ or error)}{error}\n")
        return 1
    document = model_schema(predictor)
    if document is None:
        return 1
    with os.fdopen(answer, "wb") as file:
        file.write(dumps(document))
    return 0
