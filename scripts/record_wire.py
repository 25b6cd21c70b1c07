"""Record what published coglets say on the wire, as fixtures for the tests of `protocol`.

    python scripts/record_wire.py [--version 0.23.1] [--version 0.19.1]

Drives coglet's real worker, and lets coglet's real server drive a worker that records
(`recording_worker.py`). Of each shape of message the first one is kept, byte for byte, in
`tests/protocol/golden/<version>/{worker,server}.json`: the header in hex, the payload as text (it
is UTF-8, so the text is the bytes). A log message that coglet cut is too long to keep;
`log_cut.json` says how it ends. Only the standard library is used, nothing of our own codec.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from recording_supervisor import real_worker  # noqa: E402
from recording_worker import Entry, drive_server  # noqa: E402

from tests.interop.environments import VERSIONS, environment_python  # noqa: E402

GOLDEN = ROOT / "tests" / "protocol" / "golden"


class Recorder:
    """Keeps the first message of each shape."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.entries: list[Entry] = []
        self.cut: dict[str, Any] | None = None

    def add(self, entry: Entry) -> None:
        """Keep `entry`, unless one of its shape is there."""
        message = entry.message
        if len(entry.payload) > 100_000:
            data = message["data"]
            self.cut = {
                "type": message["type"],
                "bytes": len(data.encode()),
                "sha256": hashlib.sha256(data.encode()).hexdigest(),
                "end": data[-60:],
            }
            return
        shape = repr((entry.channel, shape_of(message)))
        if shape not in self._seen:
            self._seen.add(shape)
            self.entries.append(entry)

    def write(self, path: Path) -> None:
        """Write the manifest `path`: one line a message."""
        lines = [json.dumps(entry.as_fixture(), ensure_ascii=False) for entry in self.entries]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[\n" + ",\n".join(lines) + "\n]\n", "utf-8")
        print(f"{path.relative_to(ROOT)}: {len(lines)} messages", flush=True)


def shape_of(message: dict[str, Any]) -> Any:
    """What makes two messages the same for a recording: type, keys, enumerated values."""
    telling = {"type", "source", "mode", "status", "kind", "index", "is_stream", "is_train"}
    kinds = {"value", "output", "input", "error"}
    return [
        (
            key,
            value
            if key in telling
            else type(value).__name__
            if key in kinds
            else sorted(value)
            if isinstance(value, dict)
            else None,
        )
        for key, value in message.items()
    ]


def record_sync(python: Path, recorder: Recorder) -> None:
    """A sync model: logs, outputs, metrics, ends, healthchecks, shutdown; then poison and panic."""
    with real_worker(python, "sync", recorder.add, schema=True) as worker:
        worker.connect()
        worker.until_type("ready")
        for do in ("text", "integer", "number", "boolean", "nothing", "mapping", "items", "stream",
                   "file", "oversized", "metrics", "boom", "long_line"):  # fmt: skip
            worker.run(do)
        worker.predict("wait", do="wait")
        worker.until(lambda message: message.get("data") == "waiting\n")
        ready = next(e.message for e in recorder.entries if e.message["type"] == "ready")
        worker.control({"type": "cancel", "slot": ready["slots"][0]})
        worker.until_type("idle")
        worker.control({"type": "healthcheck", "id": "hc_1"})
        worker.until_type("healthcheck_result")
        (worker.folder / "unhealthy").touch()
        worker.control({"type": "healthcheck", "id": "hc_2"})
        worker.until_type("healthcheck_result")
        worker.control({"type": "shutdown"})
        worker.until_type("shutting_down")
    with real_worker(python, "sync", recorder.add) as worker:
        worker.connect()
        worker.until_type("ready")
        worker.predict("poison", do="oversized", output_dir="missing")
        worker.until_type("failed")
        worker.drain()


def record_panic(python: Path, recorder: Recorder) -> None:
    """A panic in coglet itself. `fatal` is a race with abort(), lost more often than not."""
    for _ in range(100):
        with real_worker(python, "sync", recorder.add) as worker:
            worker.connect()
            worker.until_type("ready")
            worker.predict("panic", do="panic")
            worker.drain()
        if any(entry.message["type"] == "fatal" for entry in recorder.entries):
            return
    print("fatal: the race was lost 100 times", flush=True)


def record_async(python: Path, recorder: Recorder) -> None:
    """An async model: two slots, no schema."""
    with real_worker(python, "asynchronous", recorder.add, slots=2) as worker:
        worker.connect()
        ready = worker.until_type("ready")
        worker.predict("a", 0, do="wait")
        worker.until(lambda message: "wait" in message.get("data", ""))
        worker.predict("b", 1, do="boom")
        worker.until_type("idle")
        worker.control({"type": "cancel", "slot": ready["slots"][0]})
        worker.until_type("idle")


def record_setups(python: Path, recorder: Recorder) -> None:
    """A set-up that fails, and one that says more than is read."""
    with real_worker(python, "failing_setup", recorder.add) as worker:
        worker.connect()
        worker.until_type("failed")
    with real_worker(python, "chatty_setup", recorder.add) as worker:
        worker.reading.clear()
        worker.connect()
        time.sleep(2)
        worker.reading.set()
        worker.until_type("dropped_logs")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="append", choices=VERSIONS)
    for version in parser.parse_args().version or VERSIONS:
        python = environment_python(version)
        of_worker, of_server = Recorder(), Recorder()
        for record in (record_sync, record_async, record_setups, record_panic):
            record(python, of_worker)
        for entry in drive_server(python):
            of_server.add(entry)
        of_worker.write(GOLDEN / version / "worker.json")
        of_server.write(GOLDEN / version / "server.json")
        cut = json.dumps(of_worker.cut, ensure_ascii=False)
        (GOLDEN / version / "log_cut.json").write_text(cut + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
