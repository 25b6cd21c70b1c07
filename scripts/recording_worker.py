"""A worker that writes down what coglet's real server tells it, and the requests that make it talk.

Run as a program it is the worker: the server finds it as `python` on its PATH. `record_wire.py`
uses `drive_server`.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
"""Seconds until the server must have answered."""
SPOKEN = "COGLET_TRIO_RECORDING"
"""The variable that names the folder for the recordings."""

TRACING = {
    "COG_TRACE_CONFIGURED": "1",
    "COG_TRACE_SAMPLER": "always_on",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
}
"""Makes 0.23.1 trace; nobody listens there."""


@dataclass(frozen=True)
class Entry:
    """One message as it was on the wire."""

    channel: str
    payload: bytes

    @classmethod
    def of(cls, message: dict[str, Any]) -> Entry:
        """A message of our own making."""
        return cls("", json.dumps(message).encode())

    @property
    def frame(self) -> bytes:
        """Header and payload."""
        return struct.pack(">I", len(self.payload)) + self.payload

    @property
    def message(self) -> dict[str, Any]:
        """The parsed payload."""
        value: dict[str, Any] = json.loads(self.payload)
        return value

    def as_fixture(self) -> dict[str, str]:
        """The line of the manifest."""
        header = self.frame[:4].hex()
        return {"channel": self.channel, "header": header, "payload": self.payload.decode()}


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next payload, or None at the end."""
    header = stream.read(4)
    if len(header) < 4:
        return None
    (size,) = struct.unpack(">I", header)
    payload = stream.read(size)
    return payload if len(payload) == size else None


# --- the worker ------------------------------------------------------------------------------


class RecordingWorker:
    """Answers predictions at once, but one whose input says `wait` only when it is canceled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._control = os.fdopen(os.dup(0), "rb")
        self._waiting: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def _note(self, channel: str, payload: bytes) -> None:
        with self._lock, (self._folder / channel).open("ab") as file:
            file.write(Entry(channel, payload).frame)

    def _say(self, message: dict[str, Any]) -> None:
        with self._lock:
            os.write(1, Entry.of(message).frame)

    def run(self) -> None:
        """From `init` to `shutdown`."""
        payload = read_frame(self._control)
        assert payload is not None
        self._note("control", payload)
        init = json.loads(payload)
        slots = [str(uuid.uuid4()) for _ in range(init["num_slots"])]
        for index, slot in enumerate(slots):
            connection = socket.socket(socket.AF_UNIX)
            ((kind, place),) = init["transport_info"].items()
            connection.connect(
                f"{place['dir']}/slot-{index}.sock"
                if kind == "NamedSockets"
                else f"\0{place['prefix']}-{index}"
            )
            self._waiting[slot] = threading.Event()
            threading.Thread(target=self._serve, args=(slot, connection), daemon=True).start()
        self._say({"type": "ready", "slots": slots})
        while (payload := read_frame(self._control)) is not None:
            self._note("control", payload)
            message = json.loads(payload)
            match message["type"]:
                case "cancel":
                    self._waiting[message["slot"]].set()
                case "healthcheck":
                    answer = {"id": message["id"], "status": "healthy"}
                    self._say({"type": "healthcheck_result", **answer})
                case "shutdown":
                    self._say({"type": "shutting_down"})
                    return

    def _serve(self, slot: str, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while (payload := read_frame(stream)) is not None:
            self._note("slot", payload)
            message = json.loads(payload)
            end = {"type": "done", "id": message["id"], "predict_time": 0.1}
            if "wait" in message.get("input", {}):
                self._waiting[slot].wait(PATIENCE)
                end = {"type": "cancelled", "id": message["id"]}
            connection.sendall(Entry.of(end).frame)
            self._say({"type": "idle", "slot": slot})


# --- the server ------------------------------------------------------------------------------


def drive_server(python: Path) -> Iterator[Entry]:
    """What coglet's server in the environment of `python` tells a worker."""
    for mode, extra in (("predict", {}), ("train", {}), ("predict", TRACING)):
        with tempfile.TemporaryDirectory(prefix="wire-") as name:
            folder = Path(name)
            _run_server(python, folder, mode, extra)
            for channel in ("control", "slot"):
                with (folder / channel).open("rb") as stream:
                    while (payload := read_frame(stream)) is not None:
                        yield Entry(channel, payload)


def _run_server(python: Path, folder: Path, mode: str, extra: dict[str, str]) -> None:
    shim = folder / "bin" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}"\n')
    shim.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environ = dict(
        os.environ,
        PATH=f"{shim.parent}:{os.environ['PATH']}",
        PORT=str(port),
        COG_PREDICT_TYPE_STUB="predict.py:Predictor",
        COG_TRAIN_TYPE_STUB="train.py",
        COG_MAX_CONCURRENCY="2" if mode == "predict" else "1",
    )
    environ |= {SPOKEN: str(folder)} | extra
    server = subprocess.Popen(
        [str(python), "-m", "cog.server.http", "--host", "127.0.0.1", "--x-mode", mode],
        env=environ, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _make_it_talk(port)
        server.wait(PATIENCE)
    finally:
        _end_group(server)
        for left in Path(tempfile.gettempdir(), "coglet", "predictions").glob("wire-*"):
            shutil.rmtree(left)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _make_it_talk(port: int) -> None:
    """Requests that lead to every kind of message."""
    deadline = time.monotonic() + PATIENCE
    while _request(port, "GET", "/health-check").get("status") != "READY":
        if time.monotonic() > deadline:
            raise TimeoutError("coglet's server did not become ready")
        time.sleep(0.1)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    _request(port, "POST", "/predictions", {"id": "wire-plain", "input": {"text": "hé 🙂", "n": 1}})
    _request(
        port, "POST", "/predictions", {"id": "wire-context", "input": {}, "context": {"k": "v"}}
    )
    _request(port, "POST", "/predictions", {"id": "wire-traced", "input": {"a": None}}, trace)
    _request(port, "POST", "/predictions", {"id": "wire-large", "input": {"text": "x" * 7_000_000}})
    _request(port, "PUT", "/predictions/wire-put", {"input": {"wait": True}},
             {"Prefer": "respond-async"})  # fmt: skip
    time.sleep(0.5)  # coglet forgets some cancels of predictions that it has just accepted
    _request(port, "POST", "/predictions/wire-put/cancel", {})
    _request(port, "POST", "/shutdown", {})


def _request(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(
            method, path, payload, {"Content-Type": "application/json", **(headers or {})}
        )
        value: dict[str, Any] = json.loads(connection.getresponse().read())
    except ConnectionRefusedError:
        return {}
    else:
        return value
    finally:
        connection.close()


if __name__ == "__main__":
    RecordingWorker(Path(os.environ[SPOKEN])).run()
