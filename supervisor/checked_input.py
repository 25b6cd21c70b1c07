"""An input, looked at once: on the way in, or in a thread beforehand if it is big."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from supervisor.interface import CheckedInput, InvalidInput

if TYPE_CHECKING:
    from supervisor.model_schema import InputSchema

__all__ = ["check_input"]


def check_input(raw: dict[str, Any], schema: InputSchema | None) -> CheckedInput:
    """Look whether the input `raw` fits `schema`; None: everything does."""
    if schema is None:
        return CheckedInput(schema, raw, raw)
    try:
        cleaned = schema.clean(raw)
    except InvalidInput as refusal:
        return CheckedInput(schema, {}, {}, refusal=refusal)
    values = cleaned.values
    return CheckedInput(schema, values, schema.mask_secrets(values), cleaned.dropped)
