"""Servers of every cell: started in a folder of their own, gone without a trace at the end."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import httpx

from tests.interop.environments import ROOT, environment_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.interop.cells import Cell

__all__ = [
    "MODELS",
    "Server",
    "Serving",
    "free_port",
    "lay_out",
    "running_server",
    "server_command",
    "start_limit",
]

MODELS = ROOT / "tests" / "models" / "interop"
"""The models; a reference names one of these files."""
_COGLETS_WORKER = "import coglet; coglet.server._run_worker()"
_OUR_COMMAND = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    "from supervisor.__main__ import main; sys.exit(main())"
)
_PREFIX = f"interop-{os.getpid()}-"
"""What the ids of our predictions begin with: coglet's server leaves a folder behind for each."""


def start_limit() -> float:
    """Seconds in which a server has to be up, and an answer has to come."""
    return 90.0 if os.environ.get("CI") else 30.0


class Server:
    """A running server.

    Attributes:
        cell: whose it is.
        folder: its working folder, where the model lies.
        http: a client whose base URL is the server's.
        made_ids: ids of predictions that the server made up, as far as somebody has put them here.
    """

    def __init__(self, cell: Cell, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.cell = cell
        self.folder = folder
        self.http: httpx.Client
        self.made_ids: set[str] = set()
        self._process = process
        self._log: list[bytes] = []
        self._news = threading.Condition()
        self._count = 0
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._log.append(line)
                self._news.notify_all()

    @property
    def log(self) -> str:
        """What it has written to stderr so far."""
        return b"".join(self._log).decode("utf-8", "replace")

    def new_id(self) -> str:
        """An id for a prediction that no other run uses."""
        self._count += 1
        return f"{_PREFIX}{self._process.pid}-{self._count}"

    def logged_port(self) -> int:
        """The port that our server logs once it listens."""
        port: int = self._wait_line(lambda fields: isinstance(fields.get("port"), int))["port"]
        return port

    def wait_logged(self, message: str, id: str, over: Callable[[], bool]) -> bool:
        """Wait for this line of the prediction `id`, or until it is `over` anyhow: False then."""

        def wanted(fields: dict[str, Any]) -> bool:
            return fields.get("message") == message and fields.get("prediction_id") == id

        return bool(self._wait_line(wanted, over))

    def _wait_line(
        self, wanted: Callable[[dict[str, Any]], bool], over: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """The fields of the first line of the log that is `wanted`; empty when it is `over`."""
        seen = 0
        deadline = time.monotonic() + start_limit()
        while time.monotonic() < deadline and not over():
            with self._news:
                lines = self._log[seen:]
                if not lines:
                    self._news.wait(0.1)
            for line in lines:
                fields = _fields_of(line)
                if wanted(fields):
                    return fields
            seen += len(lines)
        if over():
            return {}
        raise TimeoutError(f"the line was not logged:\n{self.log[-3000:]}")

    def wait_set_up(self) -> None:
        """Wait until set-up has ended, one way or the other."""
        deadline = time.monotonic() + start_limit()
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended at once:\n{self.log}")
            with contextlib.suppress(httpx.TransportError):
                if self.http.get("/health-check").json()["status"] != "STARTING":
                    return
            time.sleep(0.02)
        raise TimeoutError(f"the server was not up in time:\n{self.log}")

    def kill(self) -> None:
        """End its whole group at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ask it to end, then kill what is left of its group and remove what coglet leaves."""
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(start_limit())
        self.kill()
        self._process.wait()
        self._reader.join(start_limit())
        assert self._process.stderr is not None
        self._process.stderr.close()
        predictions = Path(tempfile.gettempdir(), "coglet", "predictions")
        for left in predictions.glob(f"{_PREFIX}{self._process.pid}-*"):
            shutil.rmtree(left)
        for id in self.made_ids:
            shutil.rmtree(predictions / id, ignore_errors=True)


def _fields_of(line: bytes) -> dict[str, Any]:
    """The fields of a line of a server's log; both servers write them alike."""
    try:
        fields = json.loads(line)["fields"]
    except (ValueError, KeyError, TypeError):
        return {}
    return fields if isinstance(fields, dict) else {}


@contextlib.contextmanager
def running_server(
    cell: Cell,
    ref: str,
    slots: int,
    *,
    has_schema: bool = False,
    is_train: bool = False,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """A server of `cell` with the model `ref` (a file of `tests/models/interop`).

    With `has_schema` the model has its document with it, as in an image that `cog build` made: the
    file's name with `.schema.json`. `is_train` serves its trainings. `variables` are added to the
    server's environment.
    """
    with tempfile.TemporaryDirectory(prefix="interop-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        lay_out(folder, ref, has_schema=has_schema)
        argv, environ, port = server_command(cell, ref, slots, Path(name))
        if is_train:
            argv += ["--x-mode", "train"]
            environ |= {"COG_TRAIN_TYPE_STUB": ref}
        environ |= variables
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        server = Server(cell, folder, process)
        try:
            url = f"http://127.0.0.1:{port or server.logged_port()}"
            with httpx.Client(base_url=url, timeout=start_limit(), trust_env=False) as server.http:
                server.wait_set_up()
                yield server
        finally:
            server.close()


def lay_out(folder: Path, ref: str, *, has_schema: bool) -> None:
    """Copy the model `ref` into `folder`, and its document to where `cog build` puts it."""
    file = ref.partition(":")[0]
    shutil.copy(MODELS / file, folder / file)
    if has_schema:
        (folder / ".cog").mkdir()
        document = (MODELS / file).with_suffix(".schema.json")
        shutil.copy(document, folder / ".cog" / "openapi_schema.json")


def server_command(
    cell: Cell, ref: str, slots: int, folder: Path
) -> tuple[list[str], dict[str, str], int]:
    """The command and environment of a server of `cell`, and its port; 0: it is in its log.

    What the server needs besides its working folder is put into `folder`.
    """
    python = environment_python(cell.version)
    if cell.server == "ours":
        return _our_server(cell, python, ref, slots)
    return _coglets_server(cell, python, ref, slots, folder)


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _plain_environment() -> dict[str, str]:
    """The environment of a user who has configured nothing."""
    ours = ("COG_", "COGLET_", "OTEL_", "PYTHON")
    names = ("PORT", "LOG_FORMAT", "RUST_LOG")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in names
    }


def _our_server(
    cell: Cell, python: Path, ref: str, slots: int
) -> tuple[list[str], dict[str, str], int]:
    argv = [sys.executable, "-P", "-c", _OUR_COMMAND, "serve", ref, "--port", "0"]
    argv += ["--max-concurrency", str(slots)]
    if cell.worker == "ours":
        argv += ["--python", str(python), "--error-prefixes"]
    else:
        argv += ["--worker-command", shlex.join([str(python), "-c", _COGLETS_WORKER])]
    return argv, _plain_environment(), 0


def _coglets_server(
    cell: Cell, python: Path, ref: str, slots: int, folder: Path
) -> tuple[list[str], dict[str, str], int]:
    """It takes `python` from PATH as its worker: coglet's, or a shim in front of ours."""
    place = python.parent
    environ = _plain_environment()
    if cell.worker == "ours":
        place = folder / "bin"
        place.mkdir()
        launch = ROOT / "worker" / "launch.py"
        shim = place / "python"
        shim.write_text(
            f"#!/bin/sh\nexec {shlex.quote(str(python))} -P {shlex.quote(str(launch))}\n"
        )
        shim.chmod(0o755)
        environ["COGLET_ERROR_PREFIXES"] = "1"
        if cell.version.startswith("0.19."):
            environ["COGLET_DIALECT"] = "0.19"
    port = free_port()
    environ |= {
        "PATH": f"{place}:{environ['PATH']}",
        "PORT": str(port),
        "COG_PREDICT_TYPE_STUB": ref,
        "COG_MAX_CONCURRENCY": str(slots),
    }
    return [str(python), "-m", "cog.server.http", "--host", "127.0.0.1"], environ, port


class Serving:
    """A server of `cell` with a model, and another one in its place when it has become useless.

    Attributes:
        server: the one that runs.
    """

    def __init__(self, cell: Cell, ref: str, slots: int, **more: Any) -> None:
        """`more` is for `running_server`."""
        self._start = functools.partial(running_server, cell, ref, slots, **more)
        self._stack = contextlib.ExitStack()
        self.server: Server

    def __enter__(self) -> Self:
        """Start the first one."""
        self._enter()
        return self

    def _enter(self) -> None:
        self.server = self._stack.enter_context(self._start())

    def restart(self) -> None:
        """End the one that runs and start another."""
        self._stack.close()
        self._enter()

    def __exit__(self, *_: object) -> None:
        """End the one that runs."""
        self._stack.close()
