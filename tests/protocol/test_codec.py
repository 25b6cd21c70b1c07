"""Round trips of every message in both dialects, tolerance, and strictness."""

from __future__ import annotations

import json
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given

from protocol import codec
from protocol import messages as m
from protocol.codec import Dialect
from protocol.errors import MessageTooLarge, UnknownMessageType, Unserialisable, WrongType
from protocol.limits import FRAME_MAX
from protocol.transport import AbstractSockets, NamedSockets
from tests.protocol import strategies
from tests.protocol.golden import DECODERS, GOLDEN, Golden


@given(strategies.control_requests)
def test_control_requests_come_back(message: m.ControlRequest) -> None:
    assert codec.decode_control_request(codec.encode_control_request(message)[4:]) == message


@given(strategies.control_responses)
def test_control_responses_come_back(message: m.ControlResponse) -> None:
    assert codec.decode_control_response(codec.encode_control_response(message)[4:]) == message


@given(strategies.slot_requests)
def test_slot_requests_come_back(message: m.SlotRequest) -> None:
    assert codec.decode_slot_request(codec.encode_slot_request(message)[4:]) == message


@given(strategies.slot_responses)
def test_slot_responses_come_back(message: m.SlotResponse) -> None:
    assert codec.decode_slot_response(codec.encode_slot_response(message)[4:]) == message


@given(strategies.slot_responses)
def test_slot_responses_come_back_in_the_dialect_of_0_19(message: m.SlotResponse) -> None:
    frame = codec.encode_slot_response(message, Dialect.V0_19)
    if isinstance(message, m.ProtocolVersion):
        assert frame == b""
        return
    if isinstance(message, m.OutputChunk):
        message = attrs.evolve(message, index=0)
    assert codec.decode_slot_response(frame[4:]) == message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (m.LogLine(m.LogSource.STDOUT, "a"), {"type": "log", "source": "stdout", "data": "a"}),
        (m.OutputChunk([1], 3), {"type": "output", "output": [1]}),
        (m.Done("p", 0.5), {"type": "done", "id": "p", "predict_time": 0.5}),
    ],
)
def test_the_names_of_0_19(message: m.SlotResponse, expected: dict[str, Any]) -> None:
    frame = codec.encode_slot_response(message, Dialect.V0_19)
    assert list(json.loads(frame[4:]).items()) == list(expected.items())


def test_keys_and_integers_of_the_input_are_kept() -> None:
    input_ = {"z": 2**70, "a": [{"y": -(2**65), "b": 1.5}]}
    frame = codec.encode_slot_request(m.Predict("p", input_, output_dir="/o"))
    decoded = codec.decode_slot_request(frame[4:])
    assert json.dumps(decoded.input) == json.dumps(input_)


def test_raw_json_goes_in_as_it_is() -> None:
    message = m.Predict("p", msgspec.Raw(b'{"b": 1, "a":2.0}'), output_dir="/o")
    frame = codec.encode_slot_request(message)
    assert b'"input":{"b": 1, "a":2.0}' in frame
    assert codec.decode_slot_request(frame[4:]).input == {"b": 1, "a": 2.0}


@pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])
def test_unknown_fields_are_ignored(golden: Golden) -> None:
    newer = json.dumps({**golden.fields, "from_the_future": {"type": "x"}}).encode()
    assert DECODERS[golden.sender, golden.channel](newer) == golden.decode()


@pytest.mark.parametrize("decode", DECODERS.values(), ids=[" ".join(key) for key in DECODERS])
def test_an_unknown_type_is_named(decode: Any) -> None:
    with pytest.raises(UnknownMessageType, match="telepathy") as caught:
        decode(b'{"type":"telepathy","x":1}')
    assert caught.value.type_name == "telepathy"


def test_a_type_of_the_other_channel_is_unknown() -> None:
    with pytest.raises(UnknownMessageType):
        codec.decode_slot_response(b'{"type":"ready","slots":[]}')
    with pytest.raises(UnknownMessageType):
        codec.decode_control_response(b'{"type":"done","id":"p","predict_time":1.0}')


@pytest.mark.parametrize(
    ("decode", "payload"),
    [
        (codec.decode_slot_response, {"type": "log_line", "source": 5, "data": None}),
        (codec.decode_slot_response, {"type": "log_line", "source": "stdin", "data": ""}),
        (codec.decode_slot_response, {"type": "log_line", "source": "stdout", "data": 5}),
        (codec.decode_slot_response, {"type": "log_line", "source": ["stdout"], "data": ""}),
        (codec.decode_slot_response, {"type": "log_line", "source": "stdout"}),
        (codec.decode_slot_response, {"type": "done", "id": "p", "predict_time": "1"}),
        (codec.decode_slot_response, {"type": "done", "id": "p", "predict_time": True}),
        (codec.decode_slot_response, {"type": "done", "id": "p", "predict_time": 10**400}),
        (
            codec.decode_slot_response,
            {"type": "done", "id": "p", "predict_time": 1, "is_stream": "no"},
        ),
        (codec.decode_slot_response, {"type": "done", "id": 1, "predict_time": 1.0}),
        (codec.decode_slot_response, {"type": "output_chunk", "output": 1, "index": 1.0}),
        (codec.decode_slot_response, {"type": "output_chunk", "output": 1, "index": True}),
        (codec.decode_slot_response, {"type": "output_chunk"}),
        (codec.decode_slot_response, {"type": "metric", "name": "a", "value": 1, "mode": "add"}),
        (codec.decode_slot_response, {"type": "file_output", "filename": "a", "kind": "oversized"}),
        (codec.decode_slot_response, {"type": "file_output", "filename": "a", "kind": {}}),
        (
            codec.decode_slot_response,
            {"type": "file_output", "filename": "a", "kind": {"type": ["file_type"]}},
        ),
        (codec.decode_control_response, {"type": "ready", "slots": "abc"}),
        (codec.decode_control_response, {"type": "ready", "slots": [1]}),
        (codec.decode_control_response, {"type": "ready", "slots": [], "schema": []}),
        (codec.decode_control_response, {"type": "ready", "slots": [], "worker": {"name": 1}}),
        (codec.decode_control_response, {"type": "ready", "slots": [], "worker": "us"}),
        (codec.decode_control_response, {"type": "dropped_logs", "count": "1"}),
        (
            codec.decode_control_response,
            {"type": "healthcheck_result", "id": "a", "status": "so-so"},
        ),
        (codec.decode_control_request, {"type": "init", "predictor_ref": "a", "num_slots": 1}),
        (codec.decode_slot_request, {"type": "predict", "id": "a", "input": {}}),
        (
            codec.decode_slot_request,
            {"type": "predict", "id": "a", "input": {}, "output_dir": "", "context": {"a": 1}},
        ),
        (
            codec.decode_slot_request,
            {"type": "predict", "id": "a", "input": {}, "output_dir": "", "context": None},
        ),
    ],
)
def test_nothing_is_coerced(decode: Any, payload: dict[str, Any]) -> None:
    with pytest.raises(WrongType, match=payload["type"]):
        decode(json.dumps(payload).encode())


@pytest.mark.parametrize(
    "transport",
    [
        {},
        [],
        "AbstractSockets",
        {"TcpSockets": {"port": 1, "num_slots": 1}},
        {"AbstractSockets": {"prefix": 1, "num_slots": 1}},
        {"AbstractSockets": {"prefix": "a"}},
        {"AbstractSockets": ["a", 1]},
        {
            "AbstractSockets": {"prefix": "a", "num_slots": 1},
            "NamedSockets": {"dir": "/", "num_slots": 1},
        },
    ],
)
def test_a_transport_is_exactly_one_that_we_know(transport: Any) -> None:
    init = {"type": "init", "predictor_ref": "a", "num_slots": 1, "transport_info": transport}
    with pytest.raises(WrongType, match="init"):
        codec.decode_control_request(json.dumps(init).encode())


@pytest.mark.parametrize(
    "payload", [b"[]", b"null", b'"init"', b"{}", b'{"type":5}', b'{"type":{}}']
)
@pytest.mark.parametrize("decode", DECODERS.values(), ids=[" ".join(key) for key in DECODERS])
def test_a_message_is_an_object_with_a_type(decode: Any, payload: bytes) -> None:
    with pytest.raises(WrongType, match="type"):
        decode(payload)


def test_both_transports_are_understood() -> None:
    for transport in (NamedSockets("/d", 2), AbstractSockets("p", 3)):
        init = m.Init("a.py", transport.num_slots, transport)
        assert codec.decode_control_request(codec.encode_control_request(init)[4:]) == init


def test_a_message_that_does_not_fit_is_our_fault() -> None:
    with pytest.raises(MessageTooLarge):
        codec.encode_slot_response(m.OutputChunk("x" * FRAME_MAX))
    empty = len(codec.encode_slot_response(m.OutputChunk(""))) - 4
    frame = codec.encode_slot_response(m.OutputChunk("x" * (FRAME_MAX - empty)))
    assert len(frame) == FRAME_MAX + 4


class _Opaque:
    pass


@pytest.mark.parametrize("value", [_Opaque(), {"a": [_Opaque()]}, "\ud800", {(1, 2): 3}])
def test_what_json_cannot_say_is_our_fault(value: Any) -> None:
    with pytest.raises(Unserialisable, match="output_chunk"):
        codec.encode_slot_response(m.OutputChunk(value))


def test_an_output_that_contains_itself_is_our_fault() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    with pytest.raises(Unserialisable):
        codec.encode_slot_response(m.OutputChunk(cyclic))


@pytest.mark.parametrize(
    ("environ", "dialect"),
    [
        ({}, Dialect.V0_20),
        ({"COGLET_DIALECT": "0.20"}, Dialect.V0_20),
        ({"COGLET_DIALECT": "0.19"}, Dialect.V0_19),
    ],
)
def test_the_dialect_is_named_by_the_environment(environ: dict[str, str], dialect: Dialect) -> None:
    assert codec.dialect_of(environ) is dialect


@pytest.mark.parametrize("name", ["", "0.19.1", "klingon"])
def test_an_unknown_dialect_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="COGLET_DIALECT"):
        codec.dialect_of({"COGLET_DIALECT": name})
