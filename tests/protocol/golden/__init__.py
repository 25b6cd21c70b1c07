"""What real coglets said (recorded by `scripts/record_wire.py`), and a few messages by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attrs import frozen

from protocol import codec
from protocol.codec import Dialect

HERE = Path(__file__).parent
VERSIONS = ("0.23.1", "0.19.1")


@frozen
class Golden:
    """One message of one sender on one channel, byte for byte."""

    origin: str
    """A version of coglet, or `by_hand`."""
    sender: str
    channel: str
    frame: bytes

    @property
    def payload(self) -> bytes:
        return self.frame[4:]

    @property
    def fields(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.payload)
        return value

    @property
    def name(self) -> str:
        return f"{self.origin}-{self.sender}-{self.channel}-{self.fields['type']}"

    @property
    def dialect(self) -> Dialect:
        return Dialect.V0_19 if self.origin == "0.19.1" else Dialect.V0_20

    def decode(self) -> Any:
        return DECODERS[self.sender, self.channel](self.payload)

    def encode(self, message: Any) -> bytes:
        match self.sender, self.channel:
            case "server", "control":
                return bytes(codec.encode_control_request(message))
            case "server", "slot":
                return bytes(codec.encode_slot_request(message))
            case "worker", "control":
                return bytes(codec.encode_control_response(message))
        return bytes(codec.encode_slot_response(message, self.dialect))


DECODERS = {
    ("server", "control"): codec.decode_control_request,
    ("server", "slot"): codec.decode_slot_request,
    ("worker", "control"): codec.decode_control_response,
    ("worker", "slot"): codec.decode_slot_response,
}


def load() -> list[Golden]:
    """Every golden message."""
    found = []
    for version in VERSIONS:
        for sender in ("server", "worker"):
            for entry in json.loads((HERE / version / f"{sender}.json").read_text("utf-8")):
                frame = bytes.fromhex(entry["header"]) + entry["payload"].encode()
                found.append(Golden(version, sender, entry["channel"], frame))
    for entry in json.loads((HERE / "by_hand.json").read_text("utf-8")):
        payload = entry["payload"].encode()
        frame = len(payload).to_bytes(4, "big") + payload
        found.append(Golden("by_hand", entry["sender"], entry["channel"], frame))
    return found


GOLDEN = load()
