"""A file as an answer: who gets one, what it is called, and who gets JSON."""

from __future__ import annotations

import base64
import json
import random
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from supervisor.http.file_answer import PIECE, result_response
from supervisor.http.values import Request
from supervisor.interface import OFF_THE_LOOP, PredictionStatus, PredictionView

if TYPE_CHECKING:
    from supervisor.http.values import Response
    from tests.supervisor.http.fake_service import FakeService, Serve

PNG = b"\x89PNG\r\n\x1a\n\0"


def url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def asking(accept: str | None) -> Request:
    return Request({} if accept is None else {"accept": accept})


async def answer(
    output: Any, accept: str | None, status: PredictionStatus = PredictionStatus.SUCCEEDED
) -> Response:
    view = PredictionView("p1", status, {}, "", {}, output, "boom")
    return await result_response(asking(accept), view, (("x-more", "1"),))


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("image/png", "image/png"),
        ("image/*", "image/png"),
        ("image/avif,image/*,*/*;q=0.8", "image/png"),
        ("image/png, application/json", "image/png"),
        ("application/octet-stream", "application/octet-stream"),
        ("application/octet-stream, */*", "application/octet-stream"),
        ("image/jpeg, application/octet-stream;q=0.1", "application/octet-stream"),
    ],
)
async def test_who_names_it_gets_the_file(accept: str, content_type: str) -> None:
    response = await answer(url(PNG), accept)
    assert (response.status, response.body) == (200, PNG)
    assert response.content_type == content_type
    headers = dict(response.headers)
    assert headers["x-prediction-id"] == "p1"
    assert headers["content-disposition"] == "inline"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "sandbox"
    assert headers["x-more"] == "1"


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "application/json",
        "application/json, image/png;q=0.9",
        "image/jpeg, */*",
        "image/png;q=0, */*",
        "application/*",
    ],
)
async def test_everybody_else_gets_json(accept: str | None) -> None:
    response = await answer(url(PNG), accept)
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body)["output"] == url(PNG)
    assert ("x-more", "1") in response.headers


@pytest.mark.parametrize(
    "output",
    [
        "text",
        "",
        5,
        None,
        [url(PNG)],
        {"a": url(PNG)},
        "https://files.example/a.png",
        "data:image/png;base64",
        "data:image/png;base64,!",
        "data:image/png;base64,QUI",
        "data:image/png;base64,QUI=QUI=",
        "data:image/png;base64,é",
        "data:" + "x" * 2000 + ",",
    ],
)
async def test_what_is_no_file_is_json_whoever_asks(output: Any) -> None:
    response = await answer(output, "image/png, */*;q=0.1")
    assert response.status == 200
    assert json.loads(response.body)["output"] == output
    response = await answer(output, "image/png")
    assert (response.status, response.content_type) == (200, "application/json")


async def test_a_file_of_another_type_than_wanted_is_json() -> None:
    response = await answer(url(PNG), "image/jpeg")
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body)["output"] == url(PNG)


@pytest.mark.parametrize("status", [PredictionStatus.FAILED, PredictionStatus.CANCELED])
async def test_what_has_not_succeeded_is_json_whatever_is_wanted(status: PredictionStatus) -> None:
    response = await answer(url(PNG), "image/png", status)
    assert (response.status, response.content_type) == (200, "application/json")
    assert json.loads(response.body)["status"] == status.value


@pytest.mark.parametrize(
    ("output", "content", "content_type", "disposition"),
    [
        ("data:text/plain,a%20b", b"a b", "text/plain", "inline"),
        ("data:,x", b"x", "text/plain", "inline"),
        ("DATA:text/csv;charset=UTF-8;BASE64,eA==", b"x", "text/csv; charset=UTF-8", "inline"),
        (url(b"x", "text/csv;name=a.csv"), b"x", "text/csv", 'inline; filename="a.csv"'),
        (
            url(b"x", "text/csv;name=%22%0d%0aa%2Fb.csv"),
            b"x",
            "text/csv",
            'inline; filename="___a_b.csv"',
        ),
        (
            url(b"x", "text/csv;name=%C3%A9.csv"),
            b"x",
            "text/csv",
            "inline; filename*=UTF-8''%C3%A9.csv",
        ),
        (url(b"x", "no\r\ntype: 1/2"), b"x", "application/octet-stream", "inline"),
        (url(b"x", "text/csv;charset=a\r\nb"), b"x", "text/csv", "inline"),
    ],
)
async def test_what_a_data_url_says_of_its_file(
    output: str, content: bytes, content_type: str, disposition: str
) -> None:
    response = await answer(output, "text/*, application/octet-stream")
    assert (response.status, response.body) == (200, content)
    assert response.content_type == content_type
    assert dict(response.headers)["content-disposition"] == disposition


@pytest.mark.parametrize("size", [OFF_THE_LOOP, PIECE, PIECE + 1, 3 * PIECE])
async def test_a_big_file_arrives_whole(service: FakeService, serve: Serve, size: int) -> None:
    content = random.Random(size).randbytes(size)
    service.output = url(content)
    async with serve() as running, httpx.AsyncClient(base_url=running.url) as client:
        response = await client.post("/predictions", json={}, headers={"accept": "image/png"})
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-length"] == str(size)
    assert response.content == content


async def test_a_big_file_that_is_none_after_all() -> None:
    broken = url(bytes(2 * PIECE))[:-10] + "!" * 10
    assert (await answer(broken, "image/png")).content_type == "application/json"
