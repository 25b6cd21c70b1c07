"""Every message against the bytes of real coglets, both ways."""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import Any

import attrs
import pytest

from protocol import messages as m
from protocol.framing import FrameDecoder
from protocol.log_text import cut_log
from tests.protocol.golden import GOLDEN, HERE, VERSIONS, Golden

KINDS = {
    ("server", "control", "init"): m.Init,
    ("server", "control", "cancel"): m.Cancel,
    ("server", "control", "healthcheck"): m.Healthcheck,
    ("server", "control", "shutdown"): m.Shutdown,
    ("worker", "control", "ready"): m.Ready,
    ("worker", "control", "log"): m.Log,
    ("worker", "control", "worker_log"): m.WorkerLog,
    ("worker", "control", "idle"): m.Idle,
    ("worker", "control", "cancelled"): m.SlotCancelled,
    ("worker", "control", "failed"): m.SlotFailed,
    ("worker", "control", "fatal"): m.Fatal,
    ("worker", "control", "dropped_logs"): m.DroppedLogs,
    ("worker", "control", "healthcheck_result"): m.HealthcheckResult,
    ("worker", "control", "shutting_down"): m.ShuttingDown,
    ("server", "slot", "predict"): m.Predict,
    ("worker", "slot", "protocol_version"): m.ProtocolVersion,
    ("worker", "slot", "log_line"): m.LogLine,
    ("worker", "slot", "log"): m.LogLine,
    ("worker", "slot", "output_chunk"): m.OutputChunk,
    ("worker", "slot", "output"): m.OutputChunk,
    ("worker", "slot", "file_output"): m.FileOutput,
    ("worker", "slot", "metric"): m.Metric,
    ("worker", "slot", "done"): m.Done,
    ("worker", "slot", "failed"): m.Failed,
    ("worker", "slot", "cancelled"): m.Cancelled,
}

every_golden = pytest.mark.parametrize("golden", GOLDEN, ids=[golden.name for golden in GOLDEN])


def in_order(payload: bytes) -> Any:
    """The parsed value with the order of its keys."""
    return json.loads(payload, object_pairs_hook=list)


def plain(value: Any) -> Any:
    """What a field of a message is in JSON, told by the shapes of the specification."""
    match value:
        case m.FileKind():
            return {"type": value.value}
        case Enum():
            return value.value
        case m.Trace() | m.WorkerInfo():
            return attrs.asdict(value)
        case _ if attrs.has(type(value)):
            return {type(value).__name__: attrs.asdict(value)}
    return value


@every_golden
def test_decoding_gives_the_class_and_every_field(golden: Golden) -> None:
    message = golden.decode()
    fields = golden.fields
    assert type(message) is KINDS[golden.sender, golden.channel, fields.pop("type")]
    assert {name: plain(getattr(message, name)) for name in fields} == fields


@every_golden
def test_what_was_not_sent_has_its_default(golden: Golden) -> None:
    message = golden.decode()
    for attribute in attrs.fields(type(message)):
        if attribute.name not in golden.fields:
            value = getattr(message, attribute.name)
            assert value in (None, False, 0), attribute.name


@every_golden
def test_encoding_gives_the_same_value_in_the_same_order(golden: Golden) -> None:
    frame = golden.encode(golden.decode())
    assert in_order(frame[4:]) == in_order(golden.payload)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4


@pytest.mark.parametrize("sender", ["server", "worker"])
@pytest.mark.parametrize("version", VERSIONS)
def test_the_decoder_cuts_a_stream_of_golden_frames(version: str, sender: str) -> None:
    goldens = [g for g in GOLDEN if (g.origin, g.sender) == (version, sender)]
    decoder = FrameDecoder()
    decoder.receive_data(b"".join(golden.frame for golden in goldens))
    for golden in goldens:
        assert decoder.next_frame() == golden.payload
    assert decoder.next_frame() is None


def test_every_kind_of_message_has_golden_bytes() -> None:
    seen = {(golden.sender, golden.channel, golden.fields["type"]) for golden in GOLDEN}
    assert seen == KINDS.keys()


def test_only_what_no_coglet_sends_is_written_by_hand() -> None:
    recorded = {(g.sender, g.channel, g.fields["type"]) for g in GOLDEN if g.origin != "by_hand"}
    assert KINDS.keys() - recorded == {("worker", "control", "cancelled")}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_long_log_message_is_cut_where_coglet_cuts_it(version: str) -> None:
    cut = json.loads((HERE / version / "log_cut.json").read_text("utf-8"))
    ours = cut_log("é" * 2_500_000 + "\n")
    assert ours[-60:] == cut["end"]
    assert len(ours.encode()) == cut["bytes"]
    assert hashlib.sha256(ours.encode()).hexdigest() == cut["sha256"]
