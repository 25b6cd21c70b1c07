from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from supervisor.http.content_coding import CODINGS
from supervisor.http.request_body import BadRequest, PredictionBody, read_body
from supervisor.http.values import Request
from supervisor.interface import OFF_THE_LOOP
from tests.supervisor.http.fake_service import FakeService

JSON = {"content-type": "application/json"}
MIB = 1024 * 1024


async def refusal(
    body: bytes, headers: dict[str, str] = JSON, max_body: int = MIB
) -> tuple[int, Any]:
    with pytest.raises(BadRequest) as caught:
        await read_body(Request(headers, body, max_body), FakeService())
    response = caught.value.response
    assert response.content_type == "application/json"
    return response.status, json.loads(response.body)["detail"]


async def parsed(body: bytes, headers: dict[str, str] = JSON) -> PredictionBody:
    read = await read_body(Request(headers, body, 2 * MIB), FakeService())
    return msgspec.structs.replace(read, size=0)


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


def nested(levels: int) -> bytes:
    """A body of so many levels, two of them around what the brackets hold."""
    return b'{"input":{"x":' + b"[" * (levels - 2) + b"]" * (levels - 2) + b"}}"


async def test_nesting_has_a_limit_of_its_own() -> None:
    assert list((await parsed(nested(127))).input) == ["x"]
    for text in (nested(128), b'{"unknown":' + b"[" * 127 + b"]" * 127 + b"}"):
        status, detail = await refusal(text)
        assert (status, detail.rpartition(": ")[2]) == (400, "it is nested in more than 127 levels")


async def test_many_containers_side_by_side_are_not_deep() -> None:
    assert (await parsed(b'{"input":{"x":[' + b"[]," * 999 + b"{}]}}")).input["x"][999] == {}


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
        (b'{"webhook_events_filter":["bogus"]}', "Invalid enum value at webhook_events_filter[0]"),
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


async def test_a_nested_input_that_is_no_object_is_shown_by_its_beginning() -> None:
    _, detail = await refusal(b'{"input":[[' + b'{"a":1.5},' * 10_000 + b"null]]}")
    shown = ("[[" + '{"a":1.5},' * 10)[:100]
    assert detail[0]["msg"] == f'{shown} … is not of type "object"'


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
    assert (await read_body(Request(JSON, b'{"input":{}}'), FakeService())).size == 12


# --- encoded bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "encode"),
    [("gzip", gzip.compress), ("X-GZip", gzip.compress), ("identity, zstd", zstandard.compress)],
)
async def test_an_encoded_body(coding: str, encode: Any) -> None:
    text = json.dumps({"input": {"t": "x" * OFF_THE_LOOP}}).encode()
    body = await read_body(
        Request({**JSON, "content-encoding": coding}, encode(text), len(text)), FakeService()
    )
    assert (len(body.input["t"]), body.size) == (OFF_THE_LOOP, len(text))


async def test_identity_and_nothing_are_no_coding() -> None:
    for coding in ("identity", ""):
        assert await parsed(b"{}", {**JSON, "content-encoding": coding}) == PredictionBody(input={})
    assert await parsed(b"", {"content-encoding": "gzip"}) == PredictionBody(input={})


@pytest.mark.parametrize("coding", ["br", "gzip, zstd", "deflate", "zstd;q=1"])
async def test_an_unknown_coding_is_415_and_says_what_is_known(coding: str) -> None:
    with pytest.raises(BadRequest) as caught:
        await read_body(Request({**JSON, "content-encoding": coding}, b"{}"), FakeService())
    response = caught.value.response
    assert response.status == 415
    assert dict(response.headers)["accept-encoding"] == ", ".join(CODINGS) == "gzip, zstd"
    assert "gzip, zstd" in json.loads(response.body)["detail"]


async def test_what_is_not_encoded_as_it_says_is_400() -> None:
    for coding in CODINGS:
        status, detail = await refusal(b"{}", {**JSON, "content-encoding": coding})
        assert status == 400
        assert detail.startswith(f"Failed to decode the request body as {coding}: ")


async def test_the_limit_holds_for_what_comes_out() -> None:
    for coding, encode in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
        body = encode(b" " * (MIB + 1))
        assert len(body) < 2000
        status, detail = await refusal(body, {**JSON, "content-encoding": coding}, MIB)
        assert (status, detail) == (413, f"the request's body is larger than {MIB} bytes")


# --- forms --------------------------------------------------------------------------------------

FORM = {"content-type": "multipart/form-data; boundary=x"}


async def test_a_form() -> None:
    text = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--'
    assert await parsed(text, FORM) == PredictionBody(input={"a": "1"})
    encoded = gzip.compress(text)
    read = await parsed(encoded, {**FORM, "content-encoding": "gzip"})
    assert read == PredictionBody(input={"a": "1"})


async def test_a_form_without_parts_is_an_empty_input() -> None:
    assert await parsed(b"--x--", FORM) == PredictionBody(input={})


async def test_a_form_whose_inputs_are_no_object() -> None:
    text = b'--x\r\nContent-Disposition: form-data; name="input"\r\n\r\n[1]\r\n--x--'
    status, detail = await refusal(text, FORM)
    assert (status, detail[0]["loc"]) == (422, ["body", "input", "__root__"])


async def test_a_broken_form_is_400() -> None:
    status, detail = await refusal(b"--x\r\n", FORM)
    prefix = "Failed to parse the request body as multipart/form-data: "
    assert (status, detail) == (400, prefix + "it ends without its last boundary")
