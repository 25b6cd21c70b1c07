"""Messages to frames and back: tags and dialects live here and nowhere else.

All hooks are made when the module is imported. Decoders accept both dialects at any time; only
what a worker sends depends on the dialect of its supervisor.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final, cast

from protocol import messages as m
from protocol.converter import structure_hook, unstructure_hook
from protocol.errors import UnknownMessageType, Unserialisable, WrongType
from protocol.framing import write_header
from protocol.json_text import Payload, dumps_into, loads
from protocol.limits import HEADER_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Dialect",
    "decode_control_request",
    "decode_control_response",
    "decode_slot_request",
    "decode_slot_response",
    "dialect_of",
    "encode_control_request",
    "encode_control_response",
    "encode_slot_request",
    "encode_slot_response",
]


class Dialect(Enum):
    """The names that a coglet release uses on a slot socket."""

    V0_19 = "0.19"
    V0_20 = "0.20"


def dialect_of(environ: Mapping[str, str]) -> Dialect:
    """The dialect of a worker's supervisor, which the worker cannot see on the wire.

    Raises:
        ValueError: `COGLET_DIALECT` names none that we know.
    """
    name = environ.get("COGLET_DIALECT", Dialect.V0_20.value)
    try:
        return Dialect(name)
    except ValueError:
        known = ", ".join(dialect.value for dialect in Dialect)
        raise ValueError(f"COGLET_DIALECT={name!r} is not one of {known}") from None


_CONTROL_REQUESTS: Final[dict[str, type[Any]]] = {
    "init": m.Init,
    "cancel": m.Cancel,
    "healthcheck": m.Healthcheck,
    "shutdown": m.Shutdown,
}
_CONTROL_RESPONSES: Final[dict[str, type[Any]]] = {
    "ready": m.Ready,
    "log": m.Log,
    "worker_log": m.WorkerLog,
    "idle": m.Idle,
    "cancelled": m.SlotCancelled,
    "failed": m.SlotFailed,
    "fatal": m.Fatal,
    "dropped_logs": m.DroppedLogs,
    "healthcheck_result": m.HealthcheckResult,
    "shutting_down": m.ShuttingDown,
}
_SLOT_REQUESTS: Final[dict[str, type[Any]]] = {"predict": m.Predict}
_SLOT_RESPONSES: Final[dict[str, type[Any]]] = {
    "protocol_version": m.ProtocolVersion,
    "log_line": m.LogLine,
    "output_chunk": m.OutputChunk,
    "file_output": m.FileOutput,
    "metric": m.Metric,
    "done": m.Done,
    "failed": m.Failed,
    "cancelled": m.Cancelled,
}
_SLOT_RESPONSES_0_19: Final[dict[str, type[Any]]] = {
    "log": m.LogLine,
    "output": m.OutputChunk,
    "file_output": m.FileOutput,
    "metric": m.Metric,
    "done": m.Done,
    "failed": m.Failed,
    "cancelled": m.Cancelled,
}


class _Union:
    """One tagged union with its prepared hooks: one table of names to send, more to understand."""

    def __init__(self, sent: dict[str, type[Any]], *also_understood: dict[str, type[Any]]) -> None:
        self._structure = {
            tag: (kind, structure_hook(kind))
            for table in (sent, *also_understood)
            for tag, kind in table.items()
        }
        self._unstructure = {kind: (tag, unstructure_hook(kind)) for tag, kind in sent.items()}

    def omit(self, kind: type[Any], name: str) -> None:
        """Never send the field `name` of `kind`."""
        tag, _ = self._unstructure[kind]
        self._unstructure[kind] = tag, unstructure_hook(kind, name)

    def sends(self, message: Any) -> bool:
        return type(message) in self._unstructure

    def encode(self, message: Any) -> bytearray:
        tag, unstructure = self._unstructure[type(message)]
        frame = bytearray(_FRAME_SIZE_GUESS)
        try:
            dumps_into({"type": tag, **unstructure(message)}, frame, HEADER_SIZE)
        except Unserialisable as error:
            raise Unserialisable(f"{tag}: {error}") from error
        write_header(frame)
        return frame

    def decode(self, payload: Payload) -> Any:
        value = loads(payload)
        tag = value.get("type") if type(value) is dict else None
        if type(tag) is not str:
            raise WrongType("not an object with a string as 'type'")
        entry = self._structure.get(tag)
        if entry is None:
            raise UnknownMessageType(tag)
        kind, structure = entry
        try:
            return structure(value, kind)
        except WrongType as error:
            raise WrongType(f"{tag}: {error}") from None
        except KeyError as error:
            raise WrongType(f"{tag}: the field {error} is missing") from None


_FRAME_SIZE_GUESS: Final = 256
"""Bytes that most messages need; the encoder makes the buffer larger or smaller."""

_control_requests = _Union(_CONTROL_REQUESTS)
_control_responses = _Union(_CONTROL_RESPONSES)
_slot_requests = _Union(_SLOT_REQUESTS)
_slot_responses = _Union(_SLOT_RESPONSES, _SLOT_RESPONSES_0_19)
_slot_responses_0_19 = _Union(_SLOT_RESPONSES_0_19)
_slot_responses_0_19.omit(m.OutputChunk, "index")


def encode_control_request(message: m.ControlRequest) -> bytearray:
    """The frame of a message to a worker's control channel. Raises `LocalProtocolError`."""
    return _control_requests.encode(message)


def encode_control_response(message: m.ControlResponse) -> bytearray:
    """The frame of a message from a worker's control channel. Raises `LocalProtocolError`."""
    return _control_responses.encode(message)


def encode_slot_request(message: m.SlotRequest) -> bytearray:
    """The frame of a message to a slot of a worker. Raises `LocalProtocolError`."""
    return _slot_requests.encode(message)


def encode_slot_response(message: m.SlotResponse, dialect: Dialect = Dialect.V0_20) -> bytearray:
    """The frame of a message from a slot; empty if the dialect has no such message.

    Raises:
        LocalProtocolError: the message is too large or holds what JSON cannot say.
    """
    if dialect is Dialect.V0_20:
        return _slot_responses.encode(message)
    if _slot_responses_0_19.sends(message):
        return _slot_responses_0_19.encode(message)
    return bytearray()


def decode_control_request(payload: Payload) -> m.ControlRequest:
    """What a supervisor says on the control channel. Raises `RemoteProtocolError`."""
    return cast("m.ControlRequest", _control_requests.decode(payload))


def decode_control_response(payload: Payload) -> m.ControlResponse:
    """What a worker says on the control channel. Raises `RemoteProtocolError`."""
    return cast("m.ControlResponse", _control_responses.decode(payload))


def decode_slot_request(payload: Payload) -> m.SlotRequest:
    """What a supervisor says on a slot. Raises `RemoteProtocolError`."""
    return cast("m.SlotRequest", _slot_requests.decode(payload))


def decode_slot_response(payload: Payload) -> m.SlotResponse:
    """What a worker of either dialect says on a slot. Raises `RemoteProtocolError`."""
    return cast("m.SlotResponse", _slot_responses.decode(payload))
