"""Reads `expectations.toml`: what has to hold, and in which cells."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from attrs import Factory, frozen

from tests.interop.cells import CELLS, Cell

__all__ = ["EXPECTATIONS", "Expectation", "mismatches"]


@frozen(kw_only=True)
class Expectation:
    """One thing that a user sees. `expectations.toml` says what the fields mean."""

    name: str
    model: str
    slots: int = 1
    do: str = "predict"
    input: dict[str, Any] = Factory(dict)
    more: dict[str, Any] = Factory(dict)
    touch: str = ""
    times: int = 1
    large: int = 0
    http: int = 200
    answer: dict[str, Any] = Factory(dict)
    cells: list[str] = Factory(lambda: ["*"])
    broken: dict[str, str] = Factory(dict)
    sometimes: bool = False
    own: bool = False

    def quirk(self, cell: Cell) -> str | None:
        """What of coglet's breaks this in `cell`; None: it must hold there."""
        for pattern, quirk in self.broken.items():
            if cell.matches([pattern]):
                return quirk
        return None


def mismatches(expected: Any, found: Any, place: str = "answer") -> list[str]:
    """Where `found` is not as `expected`.

    An object may have more keys than expected, but not `__contains`, `__length`, `__has_not`,
    which are tests of the text, list or object at their place. The order of keys counts.
    """
    if not isinstance(expected, dict):
        same = type(expected) is type(found) and expected == found
        return [] if same else [f"{place}: {shortened(found)}, not {shortened(expected)}"]
    wrong = []
    for name, test in _TESTS.items():
        if name in expected and not test(expected[name], found):
            wrong.append(f"{place}: {shortened(found)}, not {name[2:]} {expected[name]!r}")
    plain = {key: value for key, value in expected.items() if key not in _TESTS}
    if not plain:
        return wrong
    if not isinstance(found, dict):
        return [*wrong, f"{place}: {shortened(found)} is not an object"]
    for key, value in plain.items():
        if key not in found:
            wrong.append(f"{place}.{key}: missing")
        else:
            wrong += mismatches(value, found[key], f"{place}.{key}")
    return wrong


_TESTS: dict[str, Any] = {
    "__contains": lambda part, found: isinstance(found, str) and part in found,
    "__length": lambda size, found: isinstance(found, str | list) and len(found) == size,
    "__has_not": lambda keys, found: isinstance(found, dict) and not set(keys) & found.keys(),
    "__keys": lambda keys, found: isinstance(found, dict) and list(found) == keys,
    "__null": lambda wanted, found: (found is None) is wanted,
}


def shortened(value: Any) -> str:
    """A value for a person to read."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]} … {text[-60:]}"


def _load() -> list[Expectation]:
    document = tomllib.loads((Path(__file__).parent / "expectations.toml").read_text("utf-8"))
    found = [Expectation(**entry) for entry in document["expectation"]]
    for expectation in found:
        for pattern in [*expectation.cells, *expectation.broken]:
            if not any(cell.matches([pattern]) for cell in CELLS):
                raise ValueError(f"{expectation.name}: no cell is {pattern!r}")
    return found


EXPECTATIONS = _load()
"""All of them, in the order of the file."""
