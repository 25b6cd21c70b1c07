"""What is kept of what a worker says, in a form that two workers can have in common."""

from __future__ import annotations

import base64
import functools
import os
import re
from typing import Any, TypeAlias

import trio
from attrs import evolve

from protocol.messages import Done, FileOutput, LogLine, Metric, OutputChunk
from supervisor.outputs import OutputUnreadable, collect_file
from supervisor.state.metrics import Metrics

__all__ = [
    "Account",
    "Facts",
    "drop_empty_texts",
    "for_toml",
    "plain_error",
    "split_traceback",
]

Facts: TypeAlias = dict[str, Any]
"""What is seen at one place: `status`, `output`, `error`, `logs` … What is null is not there."""

_PREFIX = re.compile(
    r"((Async )?(P|p)rediction failed|(Async )?(T|t)raining failed|Generator iteration error"
    r"|Failed to serialize output|(S|s)etup failed|Healthcheck failed): "
)
_TRACEBACK = re.compile(
    r"^([ |+]*(Exception Group )?Traceback \(most recent call last\):|  File \".*\", line )", re.M
)


class Account:
    """What a supervisor keeps of a prediction's messages."""

    def __init__(self, folder: str, output_dir: str, *, is_array: bool) -> None:
        """`folder` is the worker's, and the supervisor's; `is_array`: its schema says so."""
        self._folder = folder
        self._output_dir = output_dir
        self._items: list[Any] = []
        self._is_array = is_array
        self._is_done = False
        self._metrics = Metrics(1024 * 1024)
        self.logs = ""

    def add(self, message: Any) -> None:
        """Take in one message of the slot."""
        match message:
            case LogLine():
                self.logs += message.data
            case Metric():
                self._metrics.apply(message)
            case OutputChunk():
                self._items.append(message.output)
            case FileOutput():
                file = evolve(message, filename=os.path.join(self._folder, message.filename))
                self._items.append(_file(file, self._output_dir))
            case Done():
                self._is_array |= message.is_stream
                self._is_done = True

    def facts(self) -> Facts:
        """What a client would see so far, by the rules of `spec/worker.md` 3.

        Of a prediction that is not done the output is the list of what was sent: only a schema
        would say whether it is a single value, and coglet's worker has none outside of an image.
        """
        items = self._items
        facts: Facts = {"logs": self.logs}
        if items or (self._is_done and self._is_array):
            is_single = self._is_done and not self._is_array and len(items) == 1
            facts["output"] = items[0] if is_single else items
        if metrics := self._metrics.snapshot():
            facts["metrics"] = metrics
        return drop_empty_texts(facts)


def _file(message: FileOutput, output_dir: str) -> Any:
    """A file as the client gets it, but readable if it is text."""
    collect = functools.partial(
        collect_file, message, output_dir=output_dir, anywhere=True, limit=100_000_000
    )
    try:
        value, _ = trio.run(collect)
    except OutputUnreadable:
        return "<unreadable file>"
    return value


def for_toml(value: Any) -> Any:
    """`value` as TOML can hold it, long texts shortened, and data URLs of texts made readable."""
    match value:
        case None:
            return "<null>"
        case dict():
            return {name: for_toml(item) for name, item in value.items()}
        case list():
            return [for_toml(item) for item in value]
        case str() if len(value) > 4000:
            return f"{value[:10]}… ({len(value)} characters)"
        case str() if value.startswith("data:") and ";base64," in value:
            head, _, data = value.partition(";base64,")
            return f"{head},{base64.b64decode(data).decode(errors='replace')}"
    return value


def drop_empty_texts(facts: Facts) -> Facts:
    """`facts` without logs in which nothing is."""
    for name in [name for name in ("logs", "log") if not facts.get(name, True)]:
        del facts[name]
    return facts


def plain_error(error: str) -> str:
    """`error` without the prefixes that say where it happened."""
    while match := _PREFIX.match(error):
        error = error[match.end() :]
    return error


def split_traceback(facts: Facts, name: str, error: str) -> None:
    """Take what is told of `error` off the end of a log: ours tells it, coglet's does not.

    It is a traceback, or only its last line if no frame of the model's is in it.
    """
    log = facts.get(name, "")
    match = _TRACEBACK.search(log)
    last = log[log.rfind("\n", 0, -1) + 1 :]
    start = match.start() if match else len(log) - len(last)
    if match or (last and error.endswith(last.rstrip("\n"))):
        facts[name], facts["traceback"] = log[:start], log[start:]
        drop_empty_texts(facts)
