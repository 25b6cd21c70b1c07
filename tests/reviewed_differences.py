"""Where coglet and ours differ: what is found, and reviewed lists that say why ours is right."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import Factory, define

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

__all__ = ["Differences", "Observation", "Reviewed", "differences", "document", "reviewed"]

Observation: TypeAlias = "Mapping[str, Mapping[str, Any]]"
"""What is seen of one side: facts by their names, by place."""

Differences: TypeAlias = dict[str, dict[str, Any]]
"""By place and fact (`2 output`): what coglet says and what ours says; not there: nothing."""


@define(kw_only=True)
class Reviewed:
    """What the list says of one entry: a model of the corpus, a row of the table."""

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


def differences(
    coglet: Observation, ours: Observation, *, not_compared: Collection[str] = ()
) -> Differences:
    """Where two observations differ, at the places that both have.

    A place that one has not was not reached, and the place before says why. Facts that are
    `not_compared` are no difference.
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
            if fact not in not_compared and not same:
                found[f"{place} {fact}"] = values
    return found


def reviewed(path: Path) -> dict[str, Reviewed]:
    """What stands in the file `path`, by entry."""
    document = tomllib.loads(path.read_text("utf-8"))
    return {name: Reviewed(**entry) for name, entry in document.items()}


def document(path: Path, entries: Iterable[tuple[str, Reviewed]]) -> str:
    """The text of the file `path` with these entries; the comment at its beginning stays."""
    lines = [*_preamble(path), ""]
    for name, entry in entries:
        key = _key(name)
        lines += [f"[{key}]", f"quirk = {_toml(entry.quirk)}"]
        if entry.why:
            lines.append(f"why = {_toml(entry.why)}")
        if entry.sometimes:
            lines.append(f"sometimes = {_toml(entry.sometimes)}")
        if entry.differences:
            lines.append(f"[{key}.differences]")
        lines += [f"{_toml(place)} = {_toml(each)}" for place, each in entry.differences.items()]
        lines.append("")
    return "\n".join(lines)


def _preamble(path: Path) -> Iterable[str]:
    lines = path.read_text("utf-8").splitlines()
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
