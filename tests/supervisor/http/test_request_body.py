from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.http.request_body import (
    OFF_THE_LOOP,
    BadRequest,
    PredictionBody,
    read_body,
)
from supervisor.http.values import Request

JSON = {"content-type": "application/json"}


async def refusal(body: bytes, headers: dict[str, str] = JSON) -> tuple[int, Any]:
    with pytest.raises(BadRequest) as caught:
        await read_body(Request(headers, body))
    response = caught.value.response
    assert response.content_type == "application/json"
    return response.status, json.loads(response.body)["detail"]


async def parsed(body: bytes, headers: dict[str, str] = JSON) -> PredictionBody:
    return await read_body(Request(headers, body))


@pytest.mark.parametrize("headers", [{}, JSON])
async def test_a_whole_body(headers: dict[str, str]) -> None:
    body = await parsed(
        b'{"id":"a","input":{"x":[1]},"context":{"k":"v"},"webhook":"http://h/",'
        b'"webhook_events_filter":["start"],"unknown":{"y":1}}',
        headers,
    )
    assert body == PredictionBody("a", {"x": [1]}, {"k": "v"}, "http://h/", ["start"])


@pytest.mark.parametrize("text", [b"{}", b'{"input":null}', b'{"input":{}}', b' {"id":null}\n'])
async def test_everything_is_optional(text: bytes) -> None:
    assert await parsed(text) == PredictionBody(input={})


async def test_no_body_at_all_is_an_empty_object() -> None:
    assert await parsed(b"", {}) == PredictionBody(input={})


async def test_big_integers_and_the_order_of_keys_are_kept() -> None:
    body = await parsed(b'{"input":{"z":1,"a":123456789012345678901234567890,"b":{"d":1,"c":2}}}')
    assert list(body.input) == ["z", "a", "b"]
    assert body.input["a"] == 123456789012345678901234567890
    assert list(body.input["b"]) == ["d", "c"]


async def test_inside_of_the_input_the_last_of_two_equal_keys_wins() -> None:
    assert (await parsed(b'{"input":{"a":1,"a":2}}')).input == {"a": 2}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage",
        b'{"input":',
        b"{} x",
        b"{'a':1}",
        b'{"a":1,}',
        b"\xef\xbb\xbf{}",
        b'{"input":{"x":NaN}}',
        b'{"input":{"x":Infinity}}',
        b'{"input":{"x":1e400}}',
        b'{"input":{"x":"\\ud800"}}',
        b'{"input":{"x":"\\udc00 "}}',
        b'{"input":{"x":"\xff"}}',
        b'{"unknown":"\xff"}',
        b'{"input":{"x":"\n"}}',
        b'{"input":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"unknown":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
        b'{"input":{"x":' + b"1" * 5000 + b"}}",
    ],
)
async def test_what_is_not_json_is_400(text: bytes) -> None:
    status, detail = await refusal(text)
    assert status == 400
    assert detail.startswith("Failed to parse the request body as JSON: ")
    assert len(detail) < 200


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"null", "got `null`"),
        (b"[]", "got `array`"),
        (b"5", "got `int`"),
        (b'{"id":5}', "got `int` at id"),
        (b'{"context":null}', "got `null` at context"),
        (b'{"context":{"a":1}}', "at context"),
        (b'{"context":[]}', "at context"),
        (b'{"webhook":5}', "at webhook"),
        (b'{"webhook_events_filter":"start"}', "at webhook_events_filter"),
        (b'{"webhook_events_filter":null}', "at webhook_events_filter"),
        (b'{"webhook_events_filter":["bogus"]}', "at webhook_events_filter[0]"),
    ],
)
async def test_the_wrong_shape_is_422_and_names_the_field(text: bytes, words: str) -> None:
    status, detail = await refusal(text)
    assert status == 422
    assert words in detail


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        (b'{"input":[1]}', "[1]"),
        (b'{"input":"x"}', '"x"'),
        (b'{"input":5}', "5"),
        (b'{"input":true}', "true"),
    ],
)
async def test_an_input_that_is_no_object_is_coglets_root_error(text: bytes, quoted: str) -> None:
    error = {
        "loc": ["body", "input", "__root__"],
        "msg": f'{quoted} is not of type "object"',
        "type": "value_error",
    }
    assert await refusal(text) == (422, [error])


async def test_a_long_input_that_is_no_object_is_not_echoed_whole() -> None:
    status, detail = await refusal(b'{"input":"' + b"x" * 10_000 + b'"}')
    assert status == 422
    assert len(detail[0]["msg"]) < 200


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-type": ""}])
async def test_another_content_type_is_415(headers: dict[str, str]) -> None:
    status, detail = await refusal(b"{}", headers)
    assert status == 415
    assert "application/json" in detail


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":12}',
        b'{"a":12,"a":1}',
        b'{"a":[1, 2],"b":3,"a":[1,2]}',
        b'{"\\u0061":1,"a":2}',
        b'{ "a" : "x,\\"a\\":1" , "a" : 1 }',
        b'{"":1,"":1}',
    ],
)
async def test_a_key_that_stands_twice_is_422(text: bytes) -> None:
    status, detail = await refusal(text)
    assert status == 422
    assert "duplicate field" in detail


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
keys = st.text().filter(lambda key: key not in PredictionBody.__struct_fields__)


@given(
    pairs=st.lists(st.tuples(keys, json_values), max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
async def test_duplicates_are_found_exactly_when_there_are_some(
    pairs: list[tuple[str, Any]], indent: int | None, ascii_only: bool
) -> None:
    def text(value: Any) -> str:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    members = (f" {text(key)}\t: {text(value)} " for key, value in pairs)
    body = ("{" + ",".join(members) + "}").encode()
    if len({key for key, _ in pairs}) == len(pairs):
        assert await parsed(body) == PredictionBody(input={})
    else:
        assert (await refusal(body))[0] == 422


async def test_a_big_body_is_parsed_like_a_small_one() -> None:
    text = "x" * OFF_THE_LOOP
    assert (await parsed(json.dumps({"input": {"t": text}}).encode())).input == {"t": text}
    assert (await refusal(b'{"input":{"t":"' + text.encode()))[0] == 400
