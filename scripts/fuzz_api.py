"""Let schemathesis look for requests that our server answers wrongly, by its own OpenAPI document.

    .venv/bin/python scripts/fuzz_api.py [MODEL ...] [--minutes 10] [--seed 12]

Each model is served in turn, and gets its share of the time; schemathesis spends it on its phases,
the stateful one among them, in which it follows the links of the document. The seed is fixed, so a
run on a machine of the same speed finds the same. All its checks are on, but for what
`fuzz_api.toml` and `fuzz_hooks.py` name with the reason. At the end the server has to be ready,
must have logged no error, and has to end in order.

What clients and models send to URLs goes to a small proxy here, which stands for all of the
internet: nothing leaves the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
MODELS = {
    "hello": ("examples/hello/predict.py",),
    # So slow that predictions are still there to be followed and cancelled.
    "stream": ("examples/stream/predict.py", "--max-concurrency", "8"),
    "many-inputs": ("tests/models/end_to_end/many_inputs.py",),
}
"""What is served, and how."""

START_LIMIT = 60.0
"""Seconds until a server has to be ready."""

END_LIMIT = 60.0
"""Seconds until it has to have ended."""


class Wrong(Exception):
    """What has to be mended; the text says what it is."""


class _Internet(BaseHTTPRequestHandler):
    """A proxy that answers for every host; those of https are out of its reach."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"bytes")

    do_POST = do_PUT = do_GET

    def do_CONNECT(self) -> None:
        self.send_response(403)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing."""


class _Proxy(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that has left (a cancelled prediction's) is none."""


@contextlib.contextmanager
def internet() -> Iterator[dict[str, str]]:
    """The proxy; the environment that leads to it."""
    proxy = _Proxy(("127.0.0.1", 0), _Internet)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{proxy.server_port}"
    try:
        yield {"http_proxy": url, "https_proxy": url, "no_proxy": ""}
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class Server:
    """Our server with one model, from this checkout."""

    def __init__(self, served: tuple[str, ...], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        # Nothing is to be refused for want of a slot.
        options = ["--port", "0", "--queue", "1000", "--grace", "10"]
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor", "serve", *served, *options],
                cwd=ROOT,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stderr=file,
            )

    def wait_ready(self) -> str:
        """Wait until it is ready; its URL.

        Raises:
            Wrong: it has ended, or is not ready in time.
        """
        deadline = time.monotonic() + START_LIMIT
        while self._process.poll() is None and time.monotonic() < deadline:
            log = self._log.read_text("utf-8", "replace")
            url = re.search(r"Listening on (http://[^\"]+)", log)
            if url is not None and '"Worker ready"' in log:
                return url[1]
            time.sleep(0.05)
        raise Wrong(f"the server is not ready (exit code {self._process.poll()})")

    def end(self, url: str) -> None:
        """End it.

        Raises:
            Wrong: it was not ready any more, has logged errors, or does not end in order.
        """
        status = _settled_status(url)
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(END_LIMIT)
        lines = self._log.read_text("utf-8", "replace").rstrip("\n").split("\n")
        errors = [line for line in lines if not line.startswith("{") or '"level":"ERROR"' in line]
        print(f"at the end: {status}, exit code {code}, {len(errors)} lines of errors in the log")
        if (status, code, errors) != ("READY", 0, []):
            raise Wrong("\n".join(errors[:50]) or "it was not ready, or did not end in order")

    def kill(self) -> None:
        """End it, if it has not ended; its worker ends with it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _settled_status(url: str) -> str:
    """How it is when the predictions that nobody has waited for (`respond-async`) are over."""
    deadline = time.monotonic() + END_LIMIT
    while True:
        with urllib.request.urlopen(f"{url}/health-check") as answer:
            status: str = json.load(answer)["status"]
        if status != "BUSY" or time.monotonic() > deadline:
            return status
        time.sleep(0.05)


def fuzz(url: str, folder: Path, seed: int, seconds: int) -> None:
    """Run schemathesis, which prints what it has found.

    Raises:
        Wrong: it has found something.
    """
    command = Path(sys.executable).parent / "schemathesis"
    scripts = ROOT / "scripts"
    result = subprocess.run(
        [
            *(str(command), "--config-file", str(scripts / "fuzz_api.toml")),
            *("run", f"{url}/openapi.json", "--no-color"),
            *("--seed", str(seed), "--max-time", str(seconds)),
        ],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(scripts), "SCHEMATHESIS_HOOKS": "fuzz_hooks"},
        check=False,
    )
    if result.returncode != 0:
        raise Wrong("schemathesis has found something")


def run(model: str, seed: int, seconds: int) -> None:
    """Serve a model and let schemathesis at it.

    Raises:
        Wrong: something has to be mended.
    """
    print(f"{model}: {seconds} s, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name, internet() as environment:
        folder = Path(name)
        server = Server(MODELS[model], folder / "log", environment)
        try:
            url = server.wait_ready()
            fuzz(url, folder, seed, seconds)
            server.end(url)
        finally:
            server.kill()


def main() -> int:
    """What the command does; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--minutes", type=float, default=10, help="in all; default: 10")
    parser.add_argument("--seed", type=int, default=12, help="default: 12")
    arguments = parser.parse_args()
    models = arguments.models or list(MODELS)
    if unknown := set(models) - set(MODELS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    seconds = max(1, round(arguments.minutes * 60 / len(models)))
    # So that whoever ends this ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wrong = 0
    for model in models:
        try:
            run(model, arguments.seed, seconds)
        except Wrong as error:
            print(f"{model}: {error}", flush=True)
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
