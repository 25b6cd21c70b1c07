"""What `bench.py` measures, and the client that it measures servers with.

The client is plain blocking sockets with the requests made up beforehand: it has to cost little,
and the same for every server.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import selectors
import socket
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ANSWER_LIMIT", "MEASURES", "Connection", "Measure", "Result", "ask_server"]

ANSWER_LIMIT = 30.0
"""Seconds until an answer has to be complete."""

CHUNKS = 10_000
LINES = 100_000
PAYLOADS = {"10k": 10_000, "1m": 1_000_000, "10m": 10_000_000, "50m": 50_000_000}
"""Sizes of inputs and outputs in bytes."""


@dataclass(frozen=True)
class Measure:
    """One measure: a model, and what it is asked again and again, in each of its slots at once."""

    name: str
    about: str
    ref: str
    """A model of `tests/models/interop`."""
    input: dict[str, Any]
    slots: int = 1
    has: tuple[bytes, int] = (b"", 0)
    """What has to be in an answer, and how often: nothing may be lost on the way."""
    unit: str = "predictions"
    items: int = 1
    """How many of that unit are in one prediction."""
    is_stream: bool = False
    """Whether the answer is server-sent events."""
    is_http: bool = False
    """Whether it is about HTTP, and means nothing to a worker alone."""

    def is_complete(self, answer: bytes | bytearray) -> bool:
        """Whether all is in an answer that has to be."""
        word, count = self.has
        return not word or answer.count(word) == count


MEASURES = {
    measure.name: measure
    for measure in [
        Measure(
            name="sequential",
            about="a sync model that does nothing, one client, one request at a time",
            ref="noop.py:Predictor",
            input={"text": "hello"},
        ),
        Measure(
            name="async8",
            about="an async model that does nothing, 8 slots, 8 clients",
            ref="noop_async.py:Predictor",
            input={"text": "hello"},
            slots=8,
        ),
        Measure(
            name="chunks",
            about=f"a generator of {CHUNKS:,} short texts, collected into one answer, one client",
            ref="many.py:Chunks",
            input={"count": CHUNKS},
            has=(b'"token ', CHUNKS),
        ),
        Measure(
            name="logs",
            about=f"a model that prints {LINES:,} lines, all of them in the answer, one client",
            ref="many.py:Lines",
            input={"count": LINES},
            has=(b"line ", LINES),
        ),
        Measure(
            name="sse",
            about=f"a generator of {CHUNKS:,} short texts as server-sent events, one client",
            ref="tokens.py:Predictor",
            input={"count": CHUNKS},
            has=(b"event: output\n", CHUNKS),
            unit="chunks",
            items=CHUNKS,
            is_stream=True,
            is_http=True,
        ),
        *(
            Measure(
                name=f"in-{name}",
                about=f"an input of {size:,} bytes, one client",
                ref="large.py:Predictor",
                input={"text": "x" * size},
                has=(f'"{size} x x"'.encode(), 1),
                is_http=True,
            )
            for name, size in PAYLOADS.items()
        ),
        *(
            Measure(
                name=f"out-{name}",
                about=f"an output of {size:,} bytes, one client",
                ref="large.py:Predictor",
                input={"size": size},
                has=(b"y" * 1000, size // 1000),
                is_http=True,
            )
            for name, size in PAYLOADS.items()
        ),
    ]
}
"""All of them by name. Another one is another entry."""


@dataclass
class Result:
    """What one round gave. Times are seconds; a latency is one of a success."""

    seconds: float = 0.0
    succeeded: int = 0
    refused: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    """Of streams: from the request to the first chunk."""

    @property
    def first(self) -> float:
        """The median of that."""
        return statistics.median(self.firsts) if self.firsts else 0.0

    @property
    def p50(self) -> float:
        """Half of the successes took no longer."""
        return statistics.median(self.latencies) if self.latencies else 0.0

    @property
    def p99(self) -> float:
        """99 in 100 of the successes took no longer."""
        ordered = sorted(self.latencies)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0


class Connection:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.first = 0.0
        """When the first chunk of the last answer was there."""
        self.socket = socket.create_connection(("127.0.0.1", port), ANSWER_LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.socket.close()

    def get(self, path: str) -> tuple[int, bytearray]:
        """The status and the body of the answer. Raises OSError."""
        self.send(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        return self.answer()

    def send(self, request: bytes) -> None:
        """Send a whole request. Raises OSError."""
        self.socket.sendall(request)

    def answer(self) -> tuple[int, bytearray]:
        """The status and the body of the answer to the last request.

        Raises:
            OSError: the connection broke, or the answer took too long.
        """
        self.first = 0.0
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            self._more(data)
        status, head = int(data[9:12]), bytes(data[:end]).lower()
        del data[: end + 4]
        if b"\r\ntransfer-encoding: chunked" in head:
            while not data.endswith(b"\r\n0\r\n\r\n"):
                if not self.first and b"event: output" in data:
                    self.first = time.perf_counter()
                self._more(data)
            return status, _joined(data)
        length = int(head.partition(b"content-length:")[2].split()[0])
        while len(data) < length:
            self._more(data)
        return status, data

    def _more(self, data: bytearray) -> None:
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        data += chunk


def _joined(data: bytearray) -> bytearray:
    """What is in the chunks."""
    body = bytearray()
    start = 0
    while size := int(data[start : (end := data.index(b"\r\n", start))], 16):
        body += data[end + 2 : end + 2 + size]
        start = end + 2 + size + 2
    return body


def predictions(port: int, measure: Measure) -> Iterator[bytes]:
    """The bytes of one `POST /predictions` after the other.

    Each has an id that says which server it was, for coglet leaves a folder behind for each id.
    """
    rest = json.dumps({"input": measure.input}, separators=(",", ":"))[1:].encode()
    accept = "accept: text/event-stream\r\n" if measure.is_stream else ""
    for number in itertools.count():
        start = f'{{"id":"bench-{port}-{number}",'
        head = (
            f"POST /predictions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{accept}"
            f"content-type: application/json\r\ncontent-length: {len(start) + len(rest)}\r\n\r\n"
        )
        yield b"".join([head.encode(), start.encode(), rest])


def ask_server(port: int, measure: Measure, seconds: float) -> Result:
    """As many clients as there are slots; each asks, waits for the answer, and asks again.

    Each asks once at least, and none begins anew after `seconds`.
    """
    requests = predictions(port, measure)
    result = Result()
    asked: dict[int, float] = {}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        start = time.perf_counter()
        for _ in range(measure.slots):
            connection = stack.enter_context(Connection(port))
            key = selector.register(connection.socket, selectors.EVENT_READ, connection)
            asked[key.fd] = time.perf_counter()
            connection.send(next(requests))
        while asked:
            ready = selector.select(ANSWER_LIMIT)
            if not ready:
                raise TimeoutError(f"no answer in {ANSWER_LIMIT} s")
            for key, _ in ready:
                status, body = key.data.answer()
                now = time.perf_counter()
                begun = asked.pop(key.fd)
                if status == 200 and b'"succeeded"' in body and measure.is_complete(body):
                    result.succeeded += 1
                    result.latencies.append(now - begun)
                    if key.data.first:
                        result.firsts.append(key.data.first - begun)
                elif status == 409:
                    result.refused += 1
                else:
                    result.failed += 1
                if now - start < seconds:
                    asked[key.fd] = now
                    key.data.send(next(requests))
        result.seconds = time.perf_counter() - start
    return result
