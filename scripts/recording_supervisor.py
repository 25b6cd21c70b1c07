"""A supervisor that writes down what coglet's real worker says; used by `record_wire.py`."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from recording_worker import Entry, read_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MODELS = Path(__file__).resolve().parent.parent / "tests" / "models" / "wire"
PATIENCE = 20.0
"""Seconds until an expected message must have come."""


class RealWorker:
    """One life of coglet's worker, with us as its supervisor."""

    def __init__(
        self, python: Path, model: str, note: Callable[[Entry], None], *, slots: int, folder: Path
    ) -> None:
        self._note = note
        self.folder = folder
        self._inbox: queue.Queue[Entry | None] = queue.Queue()
        self.reading = threading.Event()
        """Cleared: nobody reads the control channel, so that it fills up."""
        self.reading.set()
        self._sockets = [socket.socket(socket.AF_UNIX) for _ in range(slots)]
        for index, listener in enumerate(self._sockets):
            listener.bind(f"{folder}/slot-{index}.sock")
            listener.listen(1)
            listener.settimeout(PATIENCE)
        (folder / "out").mkdir()
        for file in MODELS.glob("*.py"):
            shutil.copy(file, folder)
        self.process = subprocess.Popen(
            [str(python), "-c", "import coglet; coglet.server._run_worker()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=os.environ | {"RUST_BACKTRACE": "0"},
            start_new_session=True,
        )
        self.control(
            {
                "type": "init",
                "predictor_ref": f"{model}.py:Predictor",
                "num_slots": slots,
                "transport_info": {"NamedSockets": {"dir": str(folder), "num_slots": slots}},
                "is_train": False,
                "is_async": False,
            }
        )
        self._slots: list[socket.socket] = []
        self._open = 0

    def connect(self) -> None:
        """Accept the slots and start to read all channels."""
        assert self.process.stdout is not None
        self._slots = [listener.accept()[0] for listener in self._sockets]
        self._open = 1 + len(self._slots)
        streams = [("slot", slot.makefile("rb")) for slot in self._slots]
        for channel, stream in [("control", self.process.stdout), *streams]:
            threading.Thread(target=self._read, args=(channel, stream), daemon=True).start()

    def _read(self, channel: str, stream: BinaryIO) -> None:
        while True:
            if channel == "control":
                self.reading.wait()
            payload = read_frame(stream)
            if payload is None:
                break
            self._inbox.put(Entry(channel, payload))
        self._inbox.put(None)

    def control(self, message: dict[str, Any]) -> None:
        """Send `message` on the control channel."""
        assert self.process.stdin is not None
        self.process.stdin.write(Entry.of(message).frame)
        self.process.stdin.flush()

    def predict(self, name: str, index: int = 0, *, do: str, output_dir: str = "out") -> None:
        """Start the prediction `name`; the folder "out" is there."""
        message = {
            "type": "predict",
            "id": name,
            "input": {"do": do},
            "output_dir": f"{self.folder}/{output_dir}",
            "context": {},
        }
        self._slots[index].sendall(Entry.of(message).frame)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Record what comes until `wanted` is true of a message. Raises EOFError, queue.Empty."""
        deadline = time.monotonic() + PATIENCE
        while True:
            entry = self._inbox.get(timeout=max(deadline - time.monotonic(), 0.01))
            if entry is None:
                self._open -= 1
                if not self._open:
                    raise EOFError("all channels ended before the message came")
                continue
            self._note(entry)
            if wanted(entry.message):
                return entry.message

    def until_type(self, *types: str) -> dict[str, Any]:
        """As `until`, for a message of one of these types."""
        return self.until(lambda message: message["type"] in types)

    def run(self, do: str) -> None:
        """One prediction on slot 0, to the end."""
        self.predict(do, do=do)
        self.until_type("idle")

    def drain(self) -> None:
        """Record what still comes, to the end of a channel."""
        with contextlib.suppress(EOFError):
            self.until_type()

    def close(self) -> None:
        """End the worker's whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for one in [*self._slots, *self._sockets]:
            one.close()


@contextlib.contextmanager
def real_worker(
    python: Path,
    model: str,
    note: Callable[[Entry], None],
    *,
    slots: int = 1,
    schema: bool = False,
) -> Iterator[RealWorker]:
    """A worker in a folder of its own, both gone at the end."""
    with tempfile.TemporaryDirectory(prefix="wire-") as name:
        folder = Path(name)
        if schema:
            (folder / ".cog").mkdir()
            document = {
                "openapi": "3.0.2",
                "info": {"title": "Cog", "version": "0.1.0"},
                "paths": {},
                "components": {"schemas": {}},
            }
            (folder / ".cog" / "openapi_schema.json").write_text(json.dumps(document))
        worker = RealWorker(python, model, note, slots=slots, folder=folder)
        try:
            yield worker
        finally:
            worker.close()
