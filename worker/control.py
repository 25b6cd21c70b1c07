"""The control channel inside the worker: a writer for every thread, and one thread that reads."""

from __future__ import annotations

import os
import threading
import traceback
from typing import TYPE_CHECKING, NoReturn, Protocol

from protocol.codec import decode_control_request, encode_control_response
from protocol.errors import RemoteProtocolError, UnknownMessageType, WrongType
from protocol.messages import (
    Cancel,
    Fatal,
    Healthcheck,
    Init,
    Log,
    LogSource,
    Shutdown,
    WorkerLog,
)
from worker.channel import FrameReader, FrameWriter
from worker.later import Later

if TYPE_CHECKING:
    from protocol.messages import ControlResponse

__all__ = ["Control", "Requests"]


class Requests(Protocol):
    """What the supervisor may ask for after `Init`. Called on the thread that reads."""

    def cancel(self, slot: str, prediction: str | None) -> None:
        """Stop the prediction of a slot."""

    def healthcheck(self, check: str) -> None:
        """Answer a `HealthcheckResult`, now or later."""

    def shutdown(self, grace: float | None) -> None:
        """End the worker."""

    def supervisor_gone(self) -> None:
        """The control channel has ended: nobody hears us any more."""


class Control:
    """Both directions of the control channel."""

    def __init__(self, receive: int, send: int) -> None:
        """`receive` and `send` are descriptors; they stay their owner's."""
        self._reader = FrameReader(lambda size: os.read(receive, size))
        self.writer = FrameWriter(lambda data: os.write(send, data), Later(), _end_unheard)
        self._unknown_types: set[str] = set()

    def send(self, message: ControlResponse) -> None:
        """Send one message, from any thread."""
        self.writer.send(encode_control_response(message))

    def log(self, level: str, text: str) -> None:
        """Write a line of the worker's own log."""
        self.send(WorkerLog("worker", level, text))

    def log_frame(self, source: LogSource, text: str) -> bytearray:
        """The frame of text that belongs to no prediction."""
        return encode_control_response(Log(source, text))

    def read_init(self) -> Init | None:
        """Wait for the first message. None: the supervisor went away before it sent one.

        Raises:
            RemoteProtocolError: it is no `Init`.
        """
        frame = self._reader.next_frame()
        if frame is None:
            return None
        message = decode_control_request(frame)
        if not isinstance(message, Init):
            raise WrongType(f"{type(message).__name__} came first, before init")
        return message

    def start(self, requests: Requests) -> None:
        """Begin to read, in a thread of its own that does not keep the interpreter from ending."""
        threading.Thread(
            target=self._run, args=(requests,), name="coglet-control", daemon=True
        ).start()

    def die(self, reason: str) -> NoReturn:
        """End the process at once: something is wrong with the wire, or with us."""
        self.send(Fatal(reason))
        os._exit(1)

    def _run(self, requests: Requests) -> None:
        try:
            self._read(requests)
            requests.supervisor_gone()
        except RemoteProtocolError as error:
            self.die(str(error))
        # The boundary of this thread: without it the worker could not be told anything any more,
        # or outlive its supervisor.
        except BaseException:
            self.die(f"a bug in the worker's control thread: {traceback.format_exc()}")

    def _read(self, requests: Requests) -> None:
        try:
            while (frame := self._reader.next_frame()) is not None:
                self._hand_over(frame, requests)
        except RemoteProtocolError as error:
            raise error.at("control channel", self._reader.offset) from None

    def _hand_over(self, frame: memoryview, requests: Requests) -> None:
        try:
            message = decode_control_request(frame)
        except UnknownMessageType as error:
            self._note_unknown(error)
            return
        match message:
            case Cancel(slot, prediction):
                requests.cancel(slot, prediction)
            case Healthcheck(check):
                requests.healthcheck(check)
            case Shutdown(grace):
                requests.shutdown(grace)
            case Init():
                self.log("warn", "a second init was ignored")

    def _note_unknown(self, error: UnknownMessageType) -> None:
        if error.type_name not in self._unknown_types:
            self._unknown_types.add(error.type_name)
            self.log("warn", f"control channel: {error}; ignored, also from now on")


def _end_unheard(error: BaseException) -> NoReturn:
    """End the process: nothing can be said any more, and the supervisor would wait for ever."""
    try:
        os.write(2, f"worker: {error!r} was raised into a write to the supervisor\n".encode())
    finally:
        os._exit(1)
