"""The command, started as a user starts it, and what a test may ask of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import trio

from tests.end_to_end.processes import descendants, marked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "tests" / "models" / "end_to_end"

_MARK = "MARK_OF_THE_TEST"
_SCRIPT = Path(sys.executable).parent / "coglet-trio"
_FROM_CHECKOUT = (
    f"import sys; sys.path.append({str(ROOT)!r}); "
    "from supervisor.__main__ import main; sys.exit(main())"
)
COMMAND = (str(_SCRIPT),) if _SCRIPT.exists() else (sys.executable, "-P", "-c", _FROM_CHECKOUT)
"""The console script; where the project is not installed, what it would do."""

_GRACES = (
    "--cancel-grace",
    "--shutdown-grace",
    "--term-grace",
    "--kill-wait",
    "--orphan-wait",
    "--last-read",
    "--last-answers",
    "--idle-grace",
)
PATIENT = tuple(part for option in _GRACES for part in (option, "100"))
"""Options of a server that gives nothing up, and ends nothing by force, before a test has failed:
what comes `within(10)` there has come by itself."""


def within(seconds: float) -> Any:
    """A deadline, three times as generous in CI."""
    return trio.fail_after(seconds * (3 if os.environ.get("CI") else 1))


def environment(**more: str) -> dict[str, str]:
    """The environment of a user who has configured nothing."""
    ours = ("COG_", "COGLET_", "PYTHONPATH")
    names = ("PORT", "LOG_FORMAT", "RUST_LOG")
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in names
    }
    return plain | more


class Server:
    """One running server.

    Attributes:
        pid: of the supervisor.
        http: a client whose base URL is the server's.
        lines: what it has logged so far, one parsed object a line.
    """

    def __init__(self, process: trio.Process, mark: str) -> None:
        self.process = process
        self.pid = process.pid
        self.http: httpx.AsyncClient
        self.lines: list[dict[str, Any]] = []
        self._mark = mark
        self._news = trio.Event()
        self._log_ended = False

    # --- its log -------------------------------------------------------------------------------

    async def read_log(self) -> None:
        """Collect the log until the process closes it."""
        assert self.process.stderr is not None
        rest = b""
        async for chunk in self.process.stderr:
            *complete, rest = (rest + chunk).split(b"\n")
            self.lines += [_parsed(line) for line in complete]
            self._tell()
        self.lines += [_parsed(rest)] if rest else []
        self._log_ended = True
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def line(self, wanted: Callable[[dict[str, Any]], bool], *, after: int = 0) -> int:
        """Wait for a line that is `wanted`; its number, for the next call's `after`."""
        number = after
        while True:
            for number in range(number, len(self.lines)):  # noqa: B020 - it goes on from there
                if wanted(self.lines[number]):
                    return number + 1
            number = len(self.lines)
            assert not self._log_ended, f"the log ended without that line: {self.lines}"
            await self._news.wait()

    async def said(self, text: str, *, after: int = 0) -> int:
        """Wait for a line whose message contains `text`."""
        return await self.line(lambda line: text in line["fields"]["message"], after=after)

    async def ready(self, *, after: int = 0) -> int:
        """Wait until a worker can take predictions."""
        return await self.said("Worker ready", after=after)

    async def port(self) -> int:
        """Wait until it listens; the port that it really has."""
        found = await self.line(lambda line: _port_of(line) is not None)
        port = _port_of(self.lines[found - 1])
        assert port is not None
        return port

    # --- predictions ---------------------------------------------------------------------------

    async def predict(self, *, id: str | None = None, **inputs: Any) -> dict[str, Any]:
        """A prediction whose answer has to be 200."""
        if id is None:
            response = await self.http.post("/predictions", json={"input": inputs})
        else:
            response = await self.http.put(f"/predictions/{id}", json={"input": inputs})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def output(self, **inputs: Any) -> Any:
        """The output of a prediction that has to succeed."""
        answer = await self.predict(**inputs)
        assert answer["status"] == "succeeded", answer
        return answer["output"]

    async def cancel(self, id: str) -> int:
        """Ask for a cancel; the status of the answer."""
        return (await self.http.post(f"/predictions/{id}/cancel")).status_code

    # --- its processes -------------------------------------------------------------------------

    def family(self) -> set[int]:
        """The supervisor, everything below it, and everything that has its environment."""
        below = {status.pid for status in descendants(self.pid)}
        return {self.pid} | below | self.marked()

    def marked(self) -> set[int]:
        """What still runs with its environment, wherever in the tree it is."""
        return marked(_MARK, self._mark)

    def zombies(self) -> list[int]:
        """The dead below it that nobody has reaped."""
        return [status.pid for status in descendants(self.pid) if status.state == "Z"]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        return await self.process.wait()


def _parsed(line: bytes) -> dict[str, Any]:
    """A line of the log; what is none (a traceback) is kept as a message."""
    text = line.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict) and isinstance(value.get("fields"), dict):
        return value
    return {"fields": {"message": text}, "level": "RAW", "target": ""}


def _port_of(line: dict[str, Any]) -> int | None:
    """The port in the line that says where the server listens."""
    found = re.search(r"https?://[^ /]+:(\d+)", json.dumps(line["fields"]))
    return int(found[1]) if found else None


@contextlib.asynccontextmanager
async def serving(
    ref: str,
    *options: str,
    cwd: Path = MODELS,
    command: tuple[str, ...] = COMMAND,
    until_ready: bool = True,
    **environ: str,
) -> AsyncIterator[Server]:
    """Start the command on a free port; end it at the end, however the test went."""
    mark = uuid.uuid4().hex
    process = await trio.lowlevel.open_process(
        [*command, "serve", ref, "--port", "0", *options],
        cwd=cwd,
        env=environment(**{_MARK: mark}, **environ),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    server = Server(process, mark)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.read_log)
        try:
            with within(20):
                port = await server.port()
                if until_ready:
                    await server.ready()
            url = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=url, timeout=60) as server.http:
                yield server
        except BaseException:
            # Pytest shows it with the failure.
            sys.stderr.writelines(f"{json.dumps(line)}\n" for line in server.lines)
            raise
        finally:
            await _end(server)
            nursery.cancel_scope.cancel()


async def _end(server: Server) -> None:
    """Leave nothing behind, even of a server that a test broke."""
    with trio.CancelScope(shield=True):
        with trio.move_on_after(20):
            if server.process.returncode is None:
                await server.stop()
        for pid in server.marked():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if server.process.returncode is None:
            server.process.kill()
            await server.process.wait()
