"""What is wrong with an input, without going under in it."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import jsonschema_rs

__all__ = ["ERRORS_MAX", "PARTS_MAX", "errors_in"]

ERRORS_MAX: Final = 100
"""Errors in one answer: a long list of wrong items has one for each."""

PARTS_MAX: Final = 1000
"""Values in an input of which all errors are looked for. The library makes them all at once, and a
million of them, of an input of 2 MB, take half a minute and gigabytes."""


def errors_in(
    values: dict[str, Any], validator: jsonschema_rs.Validator | None
) -> list[jsonschema_rs.ValidationError]:
    """All that is wrong with `values`; only the first thing if they are very many.

    Raises:
        ValueError: they are nested too deeply.
    """
    if validator is None:
        return []
    if not _has_more_parts(values, PARTS_MAX):
        return list(islice(validator.iter_errors(values), ERRORS_MAX))
    try:
        validator.validate(values)
    except jsonschema_rs.ValidationError as error:
        return [error]
    return []


def _has_more_parts(value: Any, limit: int) -> bool:
    """Whether there are more than `limit` values in `value`."""
    rest = [value]
    count = 0
    while rest:
        parts = rest.pop()
        if isinstance(parts, dict | list):
            count += len(parts)
            if count > limit:
                return True
            rest.extend(parts.values() if isinstance(parts, dict) else parts)
    return False
