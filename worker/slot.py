"""One slot of the worker: its socket, and whether it is usable."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from protocol.codec import (
    Dialect,
    decode_slot_request,
    encode_control_response,
    encode_slot_response,
)
from protocol.errors import RemoteProtocolError, UnknownMessageType
from protocol.limits import PROTOCOL_VERSION
from protocol.messages import Failed, Idle, LogLine, LogSource, ProtocolVersion, SlotFailed
from worker import error_text
from worker.channel import FrameReader, FrameWriter
from worker.later import Later

if TYPE_CHECKING:
    from protocol.messages import Predict, SlotResponse
    from worker.control import Control

__all__ = ["Slot"]


class Slot:
    """One slot, from `ready` to the end of the worker. It is idle, busy or poisoned."""

    def __init__(
        self, slot: str, connection: socket.socket, control: Control, dialect: Dialect
    ) -> None:
        """`slot` is the id that the supervisor is told in `ready`."""
        self.id = slot
        self.connection = connection
        self.poisoned = False
        self._control = control
        self._dialect = dialect
        # Without the flag, a model that restores SIGPIPE would be killed with its supervisor.
        self.writer = FrameWriter(lambda data: connection.send(data, socket.MSG_NOSIGNAL), Later())
        self._receive_flags = 0
        self.reader = FrameReader(lambda size: connection.recv(size, self._receive_flags))
        """Waits, unless `never_wait` was called."""
        self._idle_frame = encode_control_response(Idle(slot))
        self._unknown_types: set[str] = set()

    def never_wait(self) -> None:
        """Have `reader` raise `BlockingIOError` where it would wait; for event loops."""
        self._receive_flags = socket.MSG_DONTWAIT

    def announce(self) -> None:
        """Say the protocol's version, first of all."""
        self.send(ProtocolVersion(PROTOCOL_VERSION))

    def encode(self, message: SlotResponse) -> bytearray:
        """The frame of a message, in the supervisor's dialect. Raises `LocalProtocolError`."""
        return encode_slot_response(message, self._dialect)

    def send(self, message: SlotResponse) -> None:
        """Send one message, from any thread."""
        self.writer.send(self.encode(message))

    def log_frame(self, source: LogSource, text: str) -> bytearray:
        """The frame of text that belongs to the running prediction."""
        return self.encode(LogLine(source, text))

    def request_arrived(self) -> bool:
        """Whether something, or the end, can be read from the socket. From any thread."""
        poll = select.poll()  # a new one: no two threads may wait on the same
        poll.register(self.connection, select.POLLIN)
        return bool(poll.poll(0))

    def decode(self, frame: memoryview) -> Predict | None:
        """The request in a frame; None if it is of a type that we do not know.

        Raises:
            RemoteProtocolError: it is no message.
        """
        try:
            return decode_slot_request(frame)
        except UnknownMessageType as error:
            if error.type_name not in self._unknown_types:
                self._unknown_types.add(error.type_name)
                self._control.log("warn", f"slot {self.id}: {error}; ignored, also from now on")
            return None
        except RemoteProtocolError as error:
            raise error.at(f"slot {self.id}", self.reader.offset) from None

    def refuse(self, predict: Predict) -> None:
        """Answer a request that came while another prediction was running."""
        self._control.log("warn", f"slot {self.id}: request {predict.id!r} while it was busy")
        self.send(Failed(predict.id, error_text.BUSY))

    def release(self) -> None:
        """The prediction's code has stopped: the slot is idle, or poisoned if it cannot answer."""
        if self.writer.broken is not None:
            self.poison(error_text.write_failed(self.writer.broken))
        elif not self.poisoned:
            self._control.writer.send(self._idle_frame)

    def poison(self, reason: str) -> None:
        """Never use this slot again, and say so."""
        if not self.poisoned:
            self.poisoned = True
            self._control.send(SlotFailed(self.id, reason))

    def stop_reading(self) -> None:
        """Let whoever reads find the end. From any thread."""
        try:
            self.connection.shutdown(socket.SHUT_RD)
        except OSError:
            return  # the supervisor has closed it: that is the end too

    def leave(self) -> None:
        """In a forked child: close our copy, and take no lock that may be held for ever."""
        self.writer.renew_lock()
        self.connection.close()
