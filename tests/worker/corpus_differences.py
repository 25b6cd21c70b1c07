"""Where our worker and coglet's differ on the corpus: what is found, and the reviewed list."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import Factory, define

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.worker.corpus_observation import Observation

__all__ = ["LIST", "Differences", "Reviewed", "differences", "document", "reviewed"]

LIST = Path(__file__).parent / "corpus_differences.toml"
"""The reviewed list."""

Differences: TypeAlias = dict[str, dict[str, Any]]
"""By place and fact (`2 output`): what coglet says and what ours says; not there: nothing."""

_NOT_COMPARED = ("schema", "traceback")
"""Facts that coglet never has, which is no difference of any one model."""


@define(kw_only=True)
class Reviewed:
    """What the list says of one model."""

    quirk: str = ""
    why: str = ""
    sometimes: list[str] = Factory(list)
    differences: Differences = Factory(dict)

    def unlisted(self, found: Differences) -> Differences:
        """What of `found` is not in the list, or is there with other values."""
        return {
            place: values
            for place, values in found.items()
            if place not in self.sometimes and not _equal(self.differences.get(place), values)
        }

    def gone(self, found: Differences) -> list[str]:
        """What of the list was not found."""
        return [place for place in self.differences if place not in found]


def differences(coglet: Observation, ours: Observation) -> Differences:
    """Where two observations differ, at the places that both have.

    A place that one has not was not reached, and the place before says why.
    """
    found = {}
    for place in [place for place in ours if place in coglet]:
        for fact in {**coglet[place], **ours[place]}:
            values = {
                name: facts[place][fact]
                for name, facts in (("coglet", coglet), ("ours", ours))
                if fact in facts[place]
            }
            same = len(values) == 2 and _equal(values["coglet"], values["ours"])
            if fact not in _NOT_COMPARED and not same:
                found[f"{place} {fact}"] = values
    return found


def reviewed() -> dict[str, Reviewed]:
    """The list, by model."""
    document = tomllib.loads(LIST.read_text("utf-8"))
    return {name: Reviewed(**entry) for name, entry in document.items()}


def document(models: Iterable[tuple[str, Reviewed]]) -> str:
    """The text of a list."""
    lines = [*_preamble(), ""]
    for name, entry in models:
        lines += [f"[{name}]", f"quirk = {_toml(entry.quirk)}", f"why = {_toml(entry.why)}"]
        if entry.sometimes:
            lines.append(f"sometimes = {_toml(entry.sometimes)}")
        if entry.differences:
            lines.append(f"[{name}.differences]")
        lines += [f"{_toml(place)} = {_toml(each)}" for place, each in entry.differences.items()]
        lines.append("")
    return "\n".join(lines)


def _preamble() -> list[str]:
    """The comment that the list begins with."""
    lines = LIST.read_text("utf-8").splitlines()
    return lines[: next((i for i, line in enumerate(lines) if not line.startswith("#")), None)]


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: the order of keys counts, and 1 is not 1.0."""
    return json.dumps(one) == json.dumps(other)


def _toml(value: Any) -> str:
    match value:
        case dict():
            inner = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case str():
            # What JSON escapes TOML escapes alike, but for DEL, which must be.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case _:
            return json.dumps(value)


def _key(key: str) -> str:
    return key if key.isascii() and key.isidentifier() else _toml(key)
