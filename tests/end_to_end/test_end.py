"""The end of the program: SIGINT, SIGTERM, POST /shutdown; nothing is left."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import trio

from tests.end_to_end.processes import Watch, is_guard
from tests.end_to_end.server import (
    COMMAND,
    MODELS,
    PATIENT,
    Server,
    environment,
    serving,
    within,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHORT = (*PATIENT, "--grace", "0.1", "--cancel-grace", "0.5", "--shutdown-grace", "0.5")
SHORT += ("--term-grace", "1")
"""What runs is ended by force soon; what that leaves behind is waited for."""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder that the server takes for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def left_in(temporary: Path) -> list[str]:
    """What is left of files, and of sockets that were bound there."""
    bound = Path("/proc/net/unix").read_text().split()
    return [str(path) for path in temporary.iterdir()] + [
        path for path in bound if path.startswith(str(temporary))
    ]


async def ends_cleanly(server: Server, number: signal.Signals, temporary: Path) -> None:
    family = server.family()
    watch = Watch(family)
    guards = {pid for pid in family if is_guard(pid)}
    with within(30):
        assert await server.stop(number) == 0
    # It has waited for all of them, but for its guard no longer than a moment.
    assert watch.running() <= guards
    with within(10):
        await watch.ended()
    assert server.marked() == set()
    assert left_in(temporary) == []
    assert not any(line["level"] == "RAW" for line in server.lines), server.lines


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGHUP, signal.SIGQUIT])
async def test_an_idle_server_ends_and_leaves_nothing(number, temporary) -> None:
    async with serving("echo.py:Predictor", *PATIENT, TMPDIR=str(temporary)) as server:
        assert await server.output(text="once") == "once"
        await ends_cleanly(server, number, temporary)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("how", ["wait", "wait_uninterruptible", "wait_with_children"])
async def test_a_busy_server_ends_and_leaves_nothing(number, how, temporary) -> None:
    options = ("ending.py:Predictor", *SHORT)
    async with serving(*options, TMPDIR=str(temporary)) as server, trio.open_nursery() as nursery:
        answers = []

        async def ask() -> None:
            answers.append(await server.predict(how=how, seconds=300))

        nursery.start_soon(ask)
        with within(20):
            await server.said("waiting in")
        await ends_cleanly(server, number, temporary)
    # It was answered before the end: its client knows what became of it.
    assert [answer["status"] in ("canceled", "failed") for answer in answers] == [True]


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_server_that_is_setting_up_ends_and_leaves_nothing(number, temporary) -> None:
    options = ("slow_setup.py:Predictor", *SHORT)
    async with serving(*options, until_ready=False, TMPDIR=str(temporary)) as server:
        with within(20):
            await server.said("setting up")
        await ends_cleanly(server, number, temporary)


async def test_what_was_accepted_is_finished_first(temporary) -> None:
    async with serving("sleeper.py:Predictor", *PATIENT, TMPDIR=str(temporary)) as server:
        answers = []

        async def ask() -> None:
            answers.append(await server.predict(seconds=1, name="accepted"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            with within(20):
                await server.said("sleeping accepted")
            await ends_cleanly(server, signal.SIGTERM, temporary)
        assert [answer["output"] for answer in answers] == ["accepted"]


async def test_post_shutdown_ends_it_too(temporary) -> None:
    async with serving("echo.py:Predictor", TMPDIR=str(temporary)) as server:
        response = await server.http.post("/shutdown")
        assert (response.status_code, response.json()) == (200, {})
        with within(30):
            assert await server.process.wait() == 0
        assert server.marked() == set()
        assert left_in(temporary) == []


async def test_with_await_explicit_shutdown_sigterm_is_ignored(temporary) -> None:
    async with serving("echo.py:Predictor", "--await-explicit-shutdown") as server:
        seen = len(server.lines)
        server.process.send_signal(signal.SIGTERM)
        with within(10):
            await server.said("Signal ignored", after=seen)
        assert await server.output(text="still here") == "still here"
        with within(30):
            assert await server.stop(signal.SIGINT) == 0


async def test_what_runs_under_nohup_ignores_the_end_of_its_terminal() -> None:
    async with serving("echo.py:Predictor", command=("nohup", *COMMAND)) as server:
        server.process.send_signal(signal.SIGHUP)
        assert await server.output(text="still here") == "still here"
        with within(30):
            assert await server.stop() == 0


async def test_a_certificate_that_cannot_be_used_is_one_line_and_exit_code_2() -> None:
    with within(20):
        result = await trio.run_process(
            [*COMMAND, "serve", "echo.py:Predictor", "--port", "0", "--tls-cert", "echo.py"],
            cwd=MODELS,
            env=environment(),
            capture_stderr=True,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr.startswith(b"coglet-trio: error: --tls-cert: echo.py cannot be used: ")
    assert result.stderr.count(b"\n") == 1


async def test_a_port_that_is_taken_is_one_clear_line() -> None:
    async with serving("echo.py:Predictor") as server:
        port = server.http.base_url.port
        with within(20):
            result = await trio.run_process(
                [*COMMAND, "serve", "echo.py:Predictor", "--port", str(port)],
                cwd=MODELS,
                env=environment(),
                capture_stderr=True,
                check=False,
            )
    text = result.stderr.decode()
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in text
    assert text.count("\n") == 1
