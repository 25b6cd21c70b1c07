"""Drives a real worker process over the wire, as a supervisor does. For tests; nothing is async."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

from protocol.codec import (
    decode_control_response,
    decode_slot_response,
    encode_control_request,
    encode_slot_request,
)
from protocol.framing import FrameDecoder
from protocol.messages import (
    Cancel,
    Cancelled,
    Done,
    Failed,
    FileOutput,
    Healthcheck,
    HealthcheckResult,
    Idle,
    Init,
    Log,
    LogLine,
    Metric,
    OutputChunk,
    Predict,
    ProtocolVersion,
    Ready,
    Shutdown,
    ShuttingDown,
    SlotFailed,
)
from protocol.transport import NamedSockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LAUNCH = Path(__file__).parents[2] / "worker" / "launch.py"
DEADLINE = 30.0
"""Seconds that anything may take before a test gives up."""


class Ended(Exception):
    """The channel has ended: there is no next message. Its arguments: what came before."""


class Channel:
    """What arrives on one channel, read at all times so that the worker never waits for us."""

    def __init__(
        self, read: Callable[[], bytes], decode: Callable[[memoryview], Any], patience: float
    ) -> None:
        """`patience`: seconds that `next` waits for a message."""
        self.patience = patience
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.history: list[Any] = []
        """All messages that `next` has answered."""
        self._read = read
        self._decode = decode
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def next(self) -> Any:
        message = self._messages.get(timeout=self.patience)
        if message is Ended:
            self._messages.put(Ended)
            raise Ended
        self.history.append(message)
        return message

    def until(self, *kinds: type[Any]) -> list[Any]:
        """The messages up to and including the first of one of `kinds`."""
        messages: list[Any] = []
        try:
            while not messages or type(messages[-1]) not in kinds:
                messages.append(self.next())
        except Ended:
            raise Ended(messages) from None
        return messages

    def rest(self) -> list[Any]:
        """All messages up to the end."""
        messages = []
        try:
            while True:
                messages.append(self.next())
        except Ended:
            return messages

    def wait_end(self) -> None:
        """Wait until nothing is read any more."""
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the channel does not end"

    def _run(self) -> None:
        decoder = FrameDecoder()
        data = b"-"
        while data:
            try:
                data = self._read()
            except OSError:
                data = b""
            decoder.receive_data(data)
            while (frame := decoder.next_frame()) is not None:
                self._messages.put(self._decode(frame))
        self._messages.put(Ended)


@define
class Result:
    """What one prediction has sent."""

    messages: list[Any]
    end: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.end = self.messages[-1]

    def all(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if type(message) is kind]

    @property
    def logs(self) -> str:
        return "".join(message.data for message in self.all(LogLine))

    @property
    def outputs(self) -> list[Any]:
        return [message.output for message in self.all(OutputChunk)]

    @property
    def files(self) -> list[FileOutput]:
        return self.all(FileOutput)

    @property
    def metrics(self) -> list[Metric]:
        return self.all(Metric)


class Driver:
    """A worker and our ends of its channels."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        listeners: list[socket.socket],
        folder: Path,
        last_words: list[int],
        patience: float,
    ) -> None:
        self.process = process
        self.patience = patience
        self.folder = folder
        assert process.stdin is not None
        assert process.stdout is not None
        output = process.stdout.fileno()
        self.control = Channel(lambda: os.read(output, 65536), decode_control_response, patience)
        self._listeners = listeners
        self._last_words = last_words
        self.sockets: list[socket.socket] = []
        self.slots: list[Channel] = []
        self.ready: Ready | None = None
        self.setup: list[Any] = []

    def send(self, message: Any) -> None:
        """Write to the control channel."""
        self.send_bytes(bytes(encode_control_request(message)))

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def accept(self) -> None:
        for listener in self._listeners:
            listener.settimeout(DEADLINE)
            connection, _ = listener.accept()
            connection.settimeout(None)
            self.sockets.append(connection)
            self.slots.append(
                Channel(lambda c=connection: c.recv(65536), decode_slot_response, self.patience)  # type: ignore[misc]
            )

    def be_patient(self, seconds: float) -> None:
        """Wait so long for anything from now on."""
        self.patience = seconds
        for channel in (self.control, *self.slots):
            channel.patience = seconds

    def wait_ready(self) -> Ready:
        """Wait for `ready`; what came before is in `setup`."""
        self.setup = self.control.until(Ready, SlotFailed)
        assert isinstance(self.setup[-1], Ready), self.setup
        self.ready = self.setup[-1]
        for slot in self.slots:
            assert slot.next() == ProtocolVersion(1)
        return self.ready

    @property
    def setup_log(self) -> str:
        return "".join(message.data for message in self.setup if type(message) is Log)

    @property
    def worker_log(self) -> str:
        """All that belonged to no prediction, as far as it was read."""
        return "".join(message.data for message in self.control.history if type(message) is Log)

    def slot_id(self, slot: int = 0) -> str:
        assert self.ready is not None
        return self.ready.slots[slot]

    def start(self, id: str = "p1", slot: int = 0, **input: Any) -> None:
        """Send a request for a prediction."""
        outputs = self.folder / "run" / id / "outputs"
        outputs.mkdir(parents=True, exist_ok=True)
        self.start_with(Predict(id, input, output_dir=str(outputs)), slot)

    def start_with(self, predict: Predict, slot: int = 0) -> None:
        self.sockets[slot].sendall(encode_slot_request(predict))

    def result(self, slot: int = 0) -> Result:
        """Wait for the terminal message."""
        return Result(self.slots[slot].until(Done, Failed, Cancelled))

    def predict(self, id: str = "p1", slot: int = 0, **input: Any) -> Result:
        """Run a prediction to its end, and the slot back to idle."""
        self.start(id, slot, **input)
        result = self.result(slot)
        self.wait_idle(slot)
        return result

    def wait_idle(self, slot: int = 0) -> list[Any]:
        """The control messages up to `idle`."""
        messages = self.control.until(Idle, SlotFailed)
        assert messages[-1] == Idle(self.slot_id(slot)), messages
        return messages

    def wait_for_log(self, text: str, slot: int = 0) -> None:
        """Wait until the running prediction has said `text`."""
        seen = ""
        while text not in seen:
            message = self.slots[slot].next()
            assert type(message) is LogLine, message
            seen += message.data

    def cancel(self, id: str | None = "p1", slot: int = 0) -> None:
        self.send(Cancel(self.slot_id(slot), id))

    def healthcheck(self, id: str = "hc_1") -> HealthcheckResult:
        self.send(Healthcheck(id))
        (*_, result) = self.control.until(HealthcheckResult)
        assert result.id == id
        return result

    def last_words(self) -> str:
        """What the dead worker has left in the capture pipe."""
        self.process.wait(DEADLINE)
        return os.read(self._last_words[0], 1_000_000).decode()

    def shutdown(self, grace: float | None = None) -> list[Any]:
        """End the worker; what it said before it ended with exit code 0."""
        self.send(Shutdown(grace))
        messages = self.control.rest()
        assert ShuttingDown() in messages
        assert self.process.wait(DEADLINE) == 0
        return messages

    def setup_failure(self) -> str:
        """Wait for the failure of set-up and the end of the worker."""
        self.setup = self.control.rest()
        assert self.process.wait(DEADLINE) == 0
        failure = self.setup[-1]
        assert isinstance(failure, SlotFailed), self.setup
        return failure.error


@contextmanager
def worker(
    folder: Path,
    model: str,
    *,
    ref: str = "predict.py:Predictor",
    slots: int = 1,
    init: bool = True,
    argv: list[str] | None = None,
    capture: bool = True,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
    options: dict[str, Any] | None = None,
    is_train: bool = False,
    patience: float = DEADLINE,
) -> Iterator[Driver]:
    """A worker with the model whose source text is `model`, connected; killed at the end.

    `patience`: seconds that anything may take before `queue.Empty` is raised.
    """
    (folder / "predict.py").write_text(textwrap.dedent(model))
    # A socket's path is short; pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="w") as directory:
        transport = NamedSockets(directory, slots)
        listeners = []
        for index in range(slots):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(transport.address(index))
            listener.listen()
            listeners.append(listener)
        process, last_words = _spawn(folder, argv, python, capture, environment)
        driver = Driver(process, listeners, folder, last_words, patience)
        try:
            if init:
                driver.send(
                    Init(
                        (ref), slots, transport, is_train, options=options or {"cancel_grace": 5.0}
                    )
                )
                driver.accept()
            yield driver
        finally:
            process.kill()
            process.wait()
            for descriptor in last_words:
                os.close(descriptor)
            for each in [*listeners, *driver.sockets]:
                each.close()
            # Or the thread would read what gets the descriptor's number next: another worker's.
            driver.control.wait_end()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()


def _spawn(
    folder: Path,
    argv: list[str] | None,
    python: str,
    capture: bool,
    environment: dict[str, str] | None,
) -> tuple[subprocess.Popen[bytes], list[int]]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ |= environment or {}
    ends = list(os.pipe()) if capture else []
    more = ["--capture-fd", str(ends[0])] if capture else []
    process = subprocess.Popen(
        argv or [python, "-P", str(LAUNCH), *more],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=ends[1] if capture else None,
        pass_fds=ends[:1],
        start_new_session=True,
    )
    if capture:
        os.close(ends[1])
    return process, ends[:1]
