"""What `bench.py` measures, and the client that it measures with.

The client is a plain blocking socket with the requests made up beforehand: it has to cost little,
and the same for every server.
"""

from __future__ import annotations

import itertools
import json
import socket
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MEASURES", "Connection", "Measure", "Result"]

ANSWER_LIMIT = 30.0
"""Seconds until an answer has to be complete."""


class Connection:
    """One keep-alive connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket = socket.create_connection(("127.0.0.1", port), ANSWER_LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._socket.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        return self.ask(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n\r\n".encode())

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request; the status and the body of the answer.

        Raises:
            OSError: the connection broke, or the answer took too long.
        """
        self._socket.sendall(request)
        data = self._socket.recv(65536)
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self._more()
        return int(head[9:12]), body

    def _more(self) -> bytes:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


@dataclass
class Result:
    """What one round gave. Times are seconds; a latency is one of a success."""

    seconds: float = 0.0
    succeeded: int = 0
    refused: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """Half of the successes took no longer."""
        return statistics.median(self.latencies) if self.latencies else 0.0

    @property
    def p99(self) -> float:
        """99 in 100 of the successes took no longer."""
        ordered = sorted(self.latencies)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0


@dataclass(frozen=True)
class Measure:
    """One measure: a model, and what is done to its server for so many seconds."""

    name: str
    about: str
    ref: str
    """A model of `tests/models/interop`."""
    slots: int
    run: Callable[[int, float], Result]
    """Called with the server's port and the seconds."""


def predictions(port: int, input: dict[str, Any]) -> Iterator[bytes]:
    """The bytes of one `POST /predictions` after the other.

    Each has an id that says which server it was, for coglet leaves a folder behind for each id.
    """
    rest = json.dumps({"input": input}, separators=(",", ":"))[1:]
    for number in itertools.count():
        body = f'{{"id":"bench-{port}-{number}",{rest}'
        yield (
            f"POST /predictions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()


def sequential(port: int, seconds: float) -> Result:
    """One client that asks, waits for the answer, and asks again."""
    requests = predictions(port, {"text": "hello"})
    result = Result()
    with Connection(port) as connection:
        start = now = time.perf_counter()
        while now - start < seconds:
            status, body = connection.ask(next(requests))
            after = time.perf_counter()
            if status == 200 and b'"succeeded"' in body:
                result.succeeded += 1
                result.latencies.append(after - now)
            elif status == 409:
                result.refused += 1
            else:
                result.failed += 1
            now = after
        result.seconds = now - start
    return result


MEASURES = {
    measure.name: measure
    for measure in [
        Measure(
            name="sequential",
            about="a sync model that does nothing, one keep-alive client, one request at a time",
            ref="noop.py:Predictor",
            slots=1,
            run=sequential,
        ),
    ]
}
"""All of them by name. Another one is another entry."""
