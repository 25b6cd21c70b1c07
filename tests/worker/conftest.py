from __future__ import annotations

import itertools
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from worker import sdk
from worker.predictor import load_predictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.predictor import Predictor

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
