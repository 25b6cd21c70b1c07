"""The examples, and the lines of the README, to the letter."""

from __future__ import annotations

import base64
import json
import re
import shutil

import pytest
import trio

from supervisor.cli.options import OPTIONS, default_of
from tests.end_to_end.server import ROOT, Server, serving, within

README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = ROOT / "examples"


def block(title: str, language: str) -> str:
    """The code block of that language that follows the README's heading."""
    section = README.split(f"\n## {title}\n")[1].split("\n## ")[0]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found is not None, title
    return found[1]


@pytest.fixture
def shown() -> dict:
    """The answer that the README shows."""
    return json.loads(block("One request", "json"))


def without_times(answer: dict) -> dict:
    """An answer without what differs from call to call."""
    assert answer.pop("id")
    assert answer.pop("metrics")["predict_time"] > 0
    return answer


async def digits_ready(server: Server) -> None:
    with within(60):
        await server.ready()


async def test_the_readmes_request_word_by_word(shown: dict) -> None:
    if shutil.which("curl") is None:
        pytest.skip("the README's line needs curl; the next test does without")
    options = {"cwd": EXAMPLES / "digits", "until_ready": False}
    async with serving("predict.py:Predictor", **options) as server:
        await digits_ready(server)
        lines = block("One request", "sh")
        assert "localhost:5000" in lines
        here = f"127.0.0.1:{server.http.base_url.port}"
        with within(20):
            result = await trio.run_process(
                ["sh", "-eu", "-c", lines.replace("localhost:5000", here)],
                cwd=ROOT,
                capture_stdout=True,
                capture_stderr=True,
            )
    assert without_times(json.loads(result.stdout)) == without_times(shown)


async def test_the_digit_in_the_example_picture(shown: dict) -> None:
    options = {"cwd": EXAMPLES / "digits", "until_ready": False}
    picture = base64.b64encode((EXAMPLES / "digits" / "three.png").read_bytes()).decode()
    async with serving("predict.py:Predictor", **options) as server:
        await digits_ready(server)
        with within(20):
            image = f"data:image/png;base64,{picture}"
            assert without_times(await server.predict(image=image)) == without_times(shown)
            one = await server.output(image=image, top_k=1)
            refused = await server.http.post(
                "/predictions", json={"input": {"image": image, "top_k": 11}}
            )
    assert one["digit"] == 3
    assert [candidate["digit"] for candidate in one["candidates"]] == [3]
    assert refused.status_code == 422
    assert "top_k" in refused.text


async def test_hello() -> None:
    async with serving("predict.py", cwd=EXAMPLES / "hello") as server:
        with within(20):
            answer = await server.predict(name="Ada")
            assert await server.output() == "hello world"
    assert (answer["output"], answer["logs"]) == ("hello Ada", "greeting Ada\n")


async def test_stream() -> None:
    async with serving("predict.py", cwd=EXAMPLES / "stream") as server:
        with within(20):
            assert await server.output(text="one two three", pause=0) == ["one", "two", "three"]


def test_the_configuration_table_of_the_readme_is_complete() -> None:
    rows = re.findall(r"^\| `(.+?)` \| (.*?) \| (.*?) \|", README, re.MULTILINE)
    wanted = [
        (
            option.flag,
            ", ".join(f"`{n}`" for n in (option.variable, *(v.name for v in option.coglets))),
            "" if default_of(option) is None else option.kind.show(default_of(option)),
        )
        for option in OPTIONS
    ]
    assert rows == wanted
