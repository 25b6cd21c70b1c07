"""Measure our server against the published coglet's, in one run, on this machine.

    .venv/bin/python scripts/bench.py [MEASURE ...] [--workers] [--seconds 3] [--rounds 6]
    .venv/bin/python scripts/bench.py [MEASURE ...] --profile

Both servers run all the time, with the same model in the same environment; one round of the one is
followed by one of the other. Printed are successful predictions a second (what is answered with 409
is asked again and not counted) or, of a stream, its chunks; their ratio with its spread over the
rounds, and the CPU time of each process for one prediction. With `--workers` there is no server:
the two workers are driven over the wire, by the same small parent, so that the cost of HTTP does
not hide theirs. `--profile` runs our server alone under cProfile.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pstats
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench_measures import MEASURES, Connection, Measure, Result, ask_server  # noqa: E402
from bench_workers import Worker, running_worker  # noqa: E402

from tests.interop.cells import Cell  # noqa: E402
from tests.interop.environments import VERSIONS, environment_python  # noqa: E402
from tests.interop.servers import free_port, lay_out, server_command  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

START_LIMIT = 60.0
"""Seconds until a server has to be ready."""

_WAITING = re.compile(r"'(poll|recv|acquire|accept)' of|posix\.read")
_PROFILED = """\
import cProfile, sys
program, output = sys.argv[1:3]
del sys.argv[1:3]
profile = cProfile.Profile()
try:
    profile.runcall(exec, program, {"__name__": "__main__"})
except SystemExit:
    pass
profile.dump_stats(output)
"""


class Running:
    """A server that runs: its port, and its processes for the accounting."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        self.name = name
        self.port = port
        self._process = process

    def wait_ready(self) -> None:
        """Wait until it answers that it is ready.

        Raises:
            RuntimeError: it has ended, or is not ready in time.
        """
        deadline = time.monotonic() + START_LIMIT
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), Connection(self.port) as connection:
                status, body = connection.get("/health-check")
                if status == 200 and b'"READY"' in body:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} is not ready (exit code {self._process.poll()})")

    @property
    def pid(self) -> int:
        """The server's process; the worker's is below it."""
        return self._process.pid

    def measure(self, measure: Measure, seconds: float) -> Result:
        """One round."""
        return ask_server(self.port, measure, seconds)


def cpu_seconds(party: Party) -> dict[str, float]:
    """CPU time so far of the worker, which is below its server, and of that."""
    if isinstance(party, Worker):
        return {"worker": _cpu_of(party.pid)}
    return {"server": _cpu_of(party.pid), "worker": sum(map(_cpu_of, _below(party.pid)))}


Party: TypeAlias = Running | Worker
"""What is measured: a server with its worker, or a worker alone."""


def _cpu_of(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _below(pid: int) -> list[int]:
    children = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            children += [int(word) for word in (task / "children").read_text().split()]
    return children + [deeper for child in children for deeper in _below(child)]


@contextlib.contextmanager
def serving(cell: Cell, measure: Measure, profile: Path | None = None) -> Iterator[Running]:
    """A server of `cell` with the model of `measure`; with `profile`, profiled into that folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name) / "model"
        folder.mkdir()
        lay_out(folder, measure.ref, has_schema=measure.is_stream)
        argv, environ, port = server_command(cell, measure.ref, measure.slots, Path(name))
        if cell.server == "ours":
            port = free_port()
            argv += ["--port", str(port)]
        if profile is not None:
            argv = profiled(argv, environment_python(cell.version), profile)
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        running = Running(cell.server, process, port)
        try:
            running.wait_ready()
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(START_LIMIT)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            predictions = Path(tempfile.gettempdir(), "coglet", "predictions")
            for left in predictions.glob(f"bench-{port}-*"):
                shutil.rmtree(left)


def profiled(argv: list[str], python: Path, folder: Path) -> list[str]:
    """Our command with the supervisor and its worker under cProfile."""
    program = argv.index("-c") + 1
    launch = ROOT / "worker" / "launch.py"
    worker = [str(python), "-P", "-c", _PROFILED]
    worker += [f"import runpy; runpy.run_path({str(launch)!r}, run_name='__main__')"]
    worker += [str(folder / "worker")]
    at_python = argv.index("--python")
    return [
        *argv[:program],
        _PROFILED,
        argv[program],
        str(folder / "supervisor"),
        *argv[program + 1 : at_python],
        "--worker-command",
        shlex.join(worker),
        *argv[at_python + 2 :],
    ]


def start(
    name: str, measure: Measure, version: str, *, alone: bool
) -> contextlib.AbstractContextManager[Party]:
    """A party by its name, "ours" or "coglet": a worker, alone or with its server."""
    if alone:
        return running_worker(name, version, measure)
    return serving(Cell(name, name, version), measure)


def compare(measure: Measure, seconds: float, rounds: int, coglet: Party, ours: Party) -> None:
    """Run one measure on both and print what came out."""
    print(f"{measure.name}: {measure.about}", flush=True)
    for party in (coglet, ours):
        party.measure(measure, min(seconds, 1.0))
    rates: dict[str, list[float]] = {"coglet": [], "ours": []}
    for number in range(rounds):
        order = (coglet, ours) if number % 2 == 0 else (ours, coglet)
        for party in order:
            rates[party.name].append(one_round(party, measure, seconds))
    for name, found in rates.items():
        print(f"  {name:<7} {spread(found, '9,.1f')} {measure.unit}/s")
    pairs = zip(rates["coglet"], rates["ours"], strict=True)
    ratios = [ours / coglet if coglet else float("inf") for coglet, ours in pairs]
    print(f"  ours / coglet: {spread(ratios, '.2f')}")


def one_round(party: Party, measure: Measure, seconds: float) -> float:
    """What was successful in a second, in the unit of the measure."""
    before = cpu_seconds(party)
    result = party.measure(measure, seconds)
    after = cpu_seconds(party)
    cpu = "  ".join(
        f"{name} {(after[name] - before[name]) / max(result.succeeded, 1) * 1e6:6.0f} us CPU"
        for name in before
    )
    rate = result.succeeded * measure.items / result.seconds
    first = f"  first {result.first * 1e3:.2f} ms" if result.firsts else ""
    print(
        f"  {party.name:<7} {rate:9,.1f}/s  p50 {result.p50 * 1e3:.2f} ms"
        f"  p99 {result.p99 * 1e3:.2f} ms{first}"
        f"  refused {result.refused}  failed {result.failed}  {cpu}",
        flush=True,
    )
    return rate


def spread(values: list[float], form: str) -> str:
    """The median, and the least and the greatest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def show_profile(measure: Measure, seconds: float, version: str) -> None:
    """Run ours alone under cProfile; print where supervisor and worker spend their time."""
    with tempfile.TemporaryDirectory(prefix="bench-profile-") as name:
        with serving(Cell("ours", "ours", version), measure, Path(name)) as ours:
            result = ours.measure(measure, seconds)
        print(f"{measure.name} under cProfile: {result.succeeded} predictions")
        for part in ("supervisor", "worker"):
            file = Path(name) / part
            print(f"--- {part}", flush=True)
            if file.exists():
                explain(pstats.Stats(str(file)), result.succeeded)
            else:
                print("no profile: it did not end by itself")


def explain(stats: pstats.Stats, predictions: int) -> None:
    """Print the time for one prediction by package, then the most expensive functions.

    Waiting is left out, and so is all that is called less often than there were predictions: the
    start. cProfile makes every call dearer, so the shares say more than the times.
    """
    packages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (file, line, name), (_, calls, own, _, _) in stats.stats.items():  # type: ignore[attr-defined]
        if calls >= predictions and not _WAITING.search(name):
            packages[package_of(file)] += own
            functions[f"{package_of(file)} {Path(file).name}:{line} {name}"] += own
    total = sum(packages.values())
    for table in (packages, functions):
        for name, own in table.most_common(25):
            print(f"  {own / predictions * 1e6:8.1f} us {own / total:6.1%}  {name}")
        print()


def package_of(file: str) -> str:
    """The package that a file of a profile belongs to."""
    if file == "~" or file.startswith("<"):
        return "built-in"
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    if file.startswith(str(ROOT)):
        return "/".join(parts[len(ROOT.parts) : -1])
    return "standard library"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="measures:\n" + "\n".join(f"  {m.name:<12}{m.about}" for m in MEASURES.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help="all if none is named")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of each server")
    parser.add_argument("--version", default=VERSIONS[0], choices=VERSIONS, help="coglet's")
    parser.add_argument("--workers", action="store_true", help="drive the workers, no servers")
    parser.add_argument("--profile", action="store_true", help="our server alone, under cProfile")
    options = parser.parse_args()
    for name in options.measures or MEASURES:
        if name not in MEASURES:
            parser.error(f"no measure {name!r}; there are: {', '.join(MEASURES)}")
        measure = MEASURES[name]
        if options.workers and measure.is_http:
            continue
        if options.profile:
            show_profile(measure, options.seconds, options.version)
            continue
        with contextlib.ExitStack() as stack:
            parties = (
                stack.enter_context(start(name, measure, options.version, alone=options.workers))
                for name in ("coglet", "ours")
            )
            compare(measure, options.seconds, options.rounds, *parties)
    return 0


if __name__ == "__main__":
    sys.exit(main())
