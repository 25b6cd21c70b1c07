"""The arguments of one call, made from the JSON object that the client sent."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.declared import NO_DEFAULT, Made
from worker.files import InputFailure, InputFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.conversion import Plan
    from worker.options import Options
    from worker.signature import Signature

__all__ = ["InputFailure", "PreparedInputs", "prepared_inputs"]


class PreparedInputs:
    """The keyword arguments of one call, and the files that are there for it until `close`.

    The files lie in `folder` (None: where temporary files do), whose owner removes it if we are
    killed.
    """

    def __init__(
        self, signature: Signature, options: Options, *, folder: str | None = None
    ) -> None:
        self._signature = signature
        self._files = InputFiles(options, folder)

    def open(self, raw: Any) -> dict[str, Any]:
        """The arguments for the input `raw`; blocks while files are fetched.

        Files, secrets and enumerations become what the annotations ask for, in defaults too. Names
        that the function does not have are passed on, for the call to refuse.

        Raises:
            InputFailure: the input is no JSON object, a file of it cannot be had, or `close` came.
        """
        if not isinstance(raw, dict):
            raise InputFailure("Input must be a JSON object")
        values = dict(raw)
        plans: dict[str, Plan] = {}
        for field in self._signature.fields:
            name = field.name
            is_default = name not in values
            if is_default:
                if field.default is NO_DEFAULT or not (field.is_handed_over or field.convert):
                    continue
                values[name] = _own_copy(field.default)
            if field.convert is not None:
                plans[name] = field.convert(values[name], name, self._files, is_default)
        for name, plan in plans.items():
            values[name] = plan()
        return values

    def close(self) -> None:
        """Remove what was fetched. From any thread: an `open` that still waits is ended by it."""
        self._files.close()


@contextmanager
def prepared_inputs(
    signature: Signature,
    raw: Any,
    options: Options,
    *,
    folder: str | None = None,
    call: Callable[..., Any] = lambda function, *args: function(*args),
) -> Iterator[dict[str, Any]]:
    """`PreparedInputs` for who does all in one thread. Raises `InputFailure` as its `open`.

    `call` calls what may be interrupted: getting the inputs, and not removing them.
    """
    inputs = PreparedInputs(signature, options, folder=folder)
    try:
        yield call(inputs.open, raw)
    finally:
        inputs.close()


def _own_copy(default: Any) -> Any:
    """A default that one prediction cannot change for the next one."""
    if isinstance(default, Made):
        return default.make()
    return copy.deepcopy(default) if isinstance(default, list | dict | set) else default
