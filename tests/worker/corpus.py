"""The corpus: small models in `models/`, and what `corpus.toml` says is asked of each."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

__all__ = ["CORPUS", "Model", "Step"]

_HERE = Path(__file__).parent


@frozen(kw_only=True)
class Step:
    """One thing that is asked. `corpus.toml` says what the fields mean."""

    do: str = "predict"
    input: dict[str, Any] = Factory(dict)
    inputs: list[dict[str, Any]] = Factory(list)
    context: dict[str, str] = Factory(dict)
    cancel: str = ""
    expect: Any = Factory(dict)


@frozen(kw_only=True)
class Model:
    """One model, and what is asked of it in the life of one worker."""

    name: str
    sections: list[int]
    ref: str = "Predictor"
    slots: int = 1
    train: bool = False
    environment: dict[str, str] = Factory(dict)
    options: dict[str, Any] = Factory(dict)
    files: dict[str, str] = Factory(dict)
    not_on_coglet: str = ""
    coglet_hangs: bool = False
    setup: dict[str, Any] = Factory(dict)
    steps: list[Step] = Factory(list)
    exit: dict[str, Any] = Factory(dict)

    @property
    def path(self) -> Path:
        """The file of the model."""
        return _HERE / "models" / f"{self.name}.py"

    @property
    def shows(self) -> str:
        """What the model shows: its docstring."""
        first = self.path.read_text("utf-8").partition("\n")[0]
        return str(ast.literal_eval(first))


def _load() -> dict[str, Model]:
    document = tomllib.loads((_HERE / "corpus.toml").read_text("utf-8"))
    return {
        name: Model(
            name=name, **entry | {"steps": [Step(**step) for step in entry.get("steps", [])]}
        )
        for name, entry in document.items()
    }


CORPUS = _load()
"""All models by name, in the order of the file."""
