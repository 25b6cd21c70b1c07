"""The arguments of one call, made from the JSON object that the client sent."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.files import InputFailure, InputFiles
from worker.signature import NO_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.conversion import Plan
    from worker.options import Options
    from worker.signature import Signature

__all__ = ["InputFailure", "prepared_inputs"]


@contextmanager
def prepared_inputs(
    signature: Signature, raw: Any, options: Options, *, folder: str | None = None
) -> Iterator[dict[str, Any]]:
    """The keyword arguments for a call with the input `raw`.

    Files, secrets and enumerations become what the annotations ask for, in defaults too. Names that
    the function does not have are passed on, for the call to refuse. Downloads block, so an event
    loop enters this in a thread. What was fetched is removed at the end, however that comes; it
    lies in `folder` (None: where temporary files do), whose owner removes it if we are killed.

    Raises:
        InputFailure: the input is no JSON object, or a file of it cannot be had.
    """
    if not isinstance(raw, dict):
        raise InputFailure("Input must be a JSON object")
    values = dict(raw)
    files = InputFiles(options, folder)
    try:
        plans: dict[str, Plan] = {}
        for field in signature.fields:
            name = field.name
            is_default = name not in values
            if is_default:
                if field.default is NO_DEFAULT or not (field.is_handed_over or field.convert):
                    continue
                values[name] = _own_copy(field.default)
            if field.convert is not None:
                # A default was written by the model's author, who may name a local file.
                local = is_default or options.allow_local_files
                plans[name] = field.convert(values[name], name, files, local)
        for name, plan in plans.items():
            values[name] = plan()
        yield values
    finally:
        files.close()


def _own_copy(default: Any) -> Any:
    """A default that one prediction cannot change for the next one."""
    return copy.deepcopy(default) if isinstance(default, list | dict | set) else default
