"""Measures workers alone, over the wire: a parent that costs little, and the same for both."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_measures import ANSWER_LIMIT, Measure, Result

from protocol.transport import NamedSockets
from tests.interop.environments import ROOT, environment_python
from tests.interop.servers import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Worker", "running_worker"]

_OURS = ["-P", str(ROOT / "worker" / "launch.py")]
_COGLETS = ["-c", "import coglet; coglet.server._run_worker()"]
_ENDS = (b'{"type":"done"', b'{"type":"failed"', b'{"type":"cancelled"')
_END_MAX = 4096
"""Bytes at the end of what a slot has sent in which its terminal message is looked for."""


class _Control:
    """The control channel: what the worker says on it is JSON objects, by their frames."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.reads = process.stdout.fileno()
        self._writes = process.stdin
        self._data = bytearray()

    def send(self, message: dict[str, Any]) -> None:
        self._writes.write(_frame(message))
        self._writes.flush()

    def receive(self) -> Iterator[dict[str, Any]]:
        """Read once; the messages that are complete now."""
        data = os.read(self.reads, 1 << 20)
        if not data:
            raise ConnectionError("the worker has ended")
        self._data += data
        while len(self._data) >= 4 + (length := int.from_bytes(self._data[:4])):
            message = json.loads(self._data[4 : 4 + length])
            del self._data[: 4 + length]
            yield message


@dataclass
class _Slot:
    """One slot: when it was asked, what it has answered, and whether it is idle."""

    socket: socket.socket
    asked: float = 0.0
    answer: bytearray = field(default_factory=bytearray)
    ended: bool = True
    idle: bool = True


class Worker:
    """A worker that is ready: its process, and the parent's end of its channels."""

    def __init__(
        self, name: str, process: subprocess.Popen[bytes], sockets: list[socket.socket], ref: str
    ) -> None:
        """`sockets` listen in the folder of the first one's address."""
        self.name = name
        self.pid = process.pid
        self._control = _Control(process)
        folder = os.path.dirname(sockets[0].getsockname())
        self._outputs = folder
        transport = {"NamedSockets": {"dir": folder, "num_slots": len(sockets)}}
        self._control.send(
            {
                "type": "init",
                "predictor_ref": ref,
                "num_slots": len(sockets),
                "transport_info": transport,
                "is_train": False,
                "is_async": False,
            }
        )
        connections = [each.accept()[0] for each in sockets]
        self._slots = dict(zip(self._wait_ready(), map(_Slot, connections), strict=True))
        for connection in connections:
            connection.recv(65536)  # the version of the protocol
        self._ids = itertools.count()

    def _wait_ready(self) -> list[str]:
        while True:
            for message in self._control.receive():
                if message["type"] == "ready":
                    slots: list[str] = message["slots"]
                    return slots
                if message["type"] == "failed":
                    raise RuntimeError(f"{self.name}: {message['error']}")

    def measure(self, measure: Measure, seconds: float) -> Result:
        """Ask in every slot, and again when it is idle, for `seconds`."""
        result = Result()
        start = time.perf_counter()
        with selectors.DefaultSelector() as selector:
            selector.register(self._control.reads, selectors.EVENT_READ)
            for slot in self._slots.values():
                selector.register(slot.socket, selectors.EVENT_READ, slot)
                self._ask(slot, measure)
            while not all(slot.idle and slot.ended for slot in self._slots.values()):
                ready = selector.select(ANSWER_LIMIT)
                if not ready:
                    raise TimeoutError(f"{self.name}: nothing in {ANSWER_LIMIT} s")
                for key, _ in ready:
                    for slot in self._news(key.data):
                        now = time.perf_counter()
                        _count(result, slot, measure, now)
                        if now - start < seconds:
                            self._ask(slot, measure)
        result.seconds = time.perf_counter() - start
        return result

    def _ask(self, slot: _Slot, measure: Measure) -> None:
        slot.ended = slot.idle = False
        slot.answer.clear()
        slot.asked = time.perf_counter()
        predict = {"type": "predict", "id": f"bench-{next(self._ids)}", "input": measure.input}
        slot.socket.sendall(_frame(predict | {"output_dir": self._outputs, "context": {}}))

    def _news(self, slot: _Slot | None) -> list[_Slot]:
        """Read a slot, or the control channel; the slots that are finished by that."""
        if slot is not None:
            slot.answer += slot.socket.recv(1 << 20)
            slot.ended = any(end in slot.answer[-_END_MAX:] for end in _ENDS)
            return [slot] if slot.ended and slot.idle else []
        finished = []
        for message in self._control.receive():
            if message["type"] == "idle":
                each = self._slots[message["slot"]]
                each.idle = True
                if each.ended:
                    finished.append(each)
        return finished


def _count(result: Result, slot: _Slot, measure: Measure, now: float) -> None:
    if _ENDS[0] in slot.answer[-_END_MAX:] and measure.is_complete(slot.answer):
        result.succeeded += 1
        result.latencies.append(now - slot.asked)
    else:
        result.failed += 1


def _frame(message: dict[str, Any]) -> bytes:
    payload = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack(">I", len(payload)) + payload


@contextlib.contextmanager
def running_worker(name: str, version: str, measure: Measure) -> Iterator[Worker]:
    """A worker, "ours" or "coglet", with the model of `measure`; killed at the end."""
    argv = [str(environment_python(version)), *(_OURS if name == "ours" else _COGLETS)]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        file = measure.ref.partition(":")[0]
        shutil.copy(MODELS / file, Path(folder, file))
        sockets = []
        for index in range(measure.slots):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(NamedSockets(folder, measure.slots).address(index))
            listener.listen()
            sockets.append(listener)
        process = subprocess.Popen(
            argv,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield Worker(name, process, sockets, measure.ref)
        finally:
            process.kill()
            process.communicate()
