"""What a docstring says of each parameter, in the styles of Google, numpy and Sphinx."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["parameter_descriptions"]

_Entry: TypeAlias = tuple[list[str], list[str]]
"""Names of parameters, and the lines that describe them."""

_SECTIONS: Final = frozenset(
    {
        "arguments",
        "args",
        "keyword arguments",
        "keyword args",
        "other parameters",
        "parameters",
        "params",
    }
)
_GOOGLE_ENTRY: Final = re.compile(r"\*{0,2}(\w+)(?:\s*\(.*?\))?\s*:(?:\s+(.*))?")
_NUMPY_NAME: Final = re.compile(r"\s*\*{0,2}(\w+)\s*")
_SPHINX_ENTRY: Final = re.compile(
    r":(?:param|parameter|arg|argument|key|keyword)\s(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)"
)
_UNDERLINE: Final = re.compile(r"-{3,}|={3,}")


def parameter_descriptions(docstring: str | None) -> dict[str, str]:
    """The descriptions by parameter, each on one line. What cannot be made out is left out."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    found: dict[str, str] = {}
    for names, described in (*_google(lines), *_numpy(lines), *_sphinx(lines)):
        text = " ".join(" ".join(described).split())
        for name in names if text else ():
            found.setdefault(name, text)
    return found


def _google(lines: list[str]) -> Iterator[_Entry]:
    """The entries below `Args:`."""
    for index, line in enumerate(lines):
        header = line.strip()
        if not header.endswith(":") or header[:-1].lower() not in _SECTIONS:
            continue
        entry_indent = next((_indent(each) for each in lines[index + 1 :] if each), 0)
        # What stands on the first line has lost its indentation.
        if entry_indent <= _indent(line) and index > 0:
            continue
        block = _deeper(lines, index + 1, entry_indent - 1)
        for start, first in enumerate(block):
            match = _GOOGLE_ENTRY.fullmatch(first.strip())
            if match and _indent(first) == entry_indent:
                more = _deeper(block, start + 1, entry_indent)
                yield [match[1]], [match[2] or "", *more]


def _numpy(lines: list[str]) -> Iterator[_Entry]:
    """The entries below an underlined `Parameters`."""
    index = 0
    inside = False
    while index < len(lines):
        line = lines[index]
        if _UNDERLINE.fullmatch("".join(lines[index + 1 : index + 2]).strip()):
            inside = line.strip().lower() in _SECTIONS
            index += 2
            continue
        index += 1
        if inside and line.strip():
            block = _deeper(lines, index, _indent(line))
            names = map(_NUMPY_NAME.fullmatch, line.partition(":")[0].split(","))
            yield [name[1] for name in names if name], block
            index += len(block)


def _sphinx(lines: list[str]) -> Iterator[_Entry]:
    """The entries that begin with `:param name:`."""
    for index, line in enumerate(lines):
        match = _SPHINX_ENTRY.fullmatch(line.strip())
        if match:
            yield [match[1]], [match[2], *_deeper(lines, index + 1, _indent(line))]


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _deeper(lines: list[str], start: int, indent: int) -> list[str]:
    """The lines from `start` on that are indented by more than `indent`, or empty."""
    end = start
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
        end += 1
    return lines[start:end]
