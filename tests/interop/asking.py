"""The ways in which an expectation asks a server (`do` in `expectations.toml`)."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
from attrs import frozen

from tests.interop.expectations import mismatches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from tests.interop.expectations import Expectation
    from tests.interop.servers import Server

__all__ = ["NotServing", "SlotLost", "ask"]

_REFUSAL_LIMIT = 2.0
"""Seconds for which coglet's server is asked again when it answers 409 (P1)."""


class SlotLost(Exception):
    """A real coglet's server says for too long that it has no slot: it has lost one.

    It does when `idle` arrives before it has looked at the prediction's end (`Received Idle for
    slot with no pending idle confirmation` in its log). Only another server helps.
    """


class NotServing(Exception):
    """A server answers that it cannot serve: no quirk of one prediction excuses that."""


@frozen
class Asked:
    """An answer, and what the placeholders of the expectation stand for in it."""

    response: httpx.Response
    id: str
    name: str = ""

    def wrong(self, expectation: Expectation) -> list[str]:
        """Where it is not as expected. Raises `NotServing`."""
        if self.response.status_code >= 500 and self.response.status_code != expectation.http:
            raise NotServing(self.response.text)
        if self.response.status_code != expectation.http:
            return [f"HTTP {self.response.status_code}: {self.response.text[:300]}"]
        expected = _filled_in(expectation.answer, {"<id>": self.id, "<name>": self.name})
        return mismatches(expected, self.response.json())


def ask(server: Server, expectation: Expectation) -> list[str]:
    """Do what the expectation says; where the answers are not as expected. Raises `SlotLost`."""
    return _WAYS[expectation.do](server, expectation)


def _predict(server: Server, expectation: Expectation) -> list[str]:
    return _post(server, expectation).wrong(expectation)


def _sequence(server: Server, expectation: Expectation) -> list[str]:
    for number in range(expectation.times):
        wrong = _post(server, expectation).wrong(expectation)
        if wrong:
            return [f"request {number}: {text}" for text in wrong]
    return []


def _together(server: Server, expectation: Expectation) -> list[str]:
    names = [f"number {number}" for number in range(expectation.times)]
    with ThreadPoolExecutor(expectation.times) as pool:
        asked = list(pool.map(lambda name: _post(server, expectation, name), names))
    return [text for one in asked for text in one.wrong(expectation)]


def _cancel(server: Server, expectation: Expectation) -> list[str]:
    with _started(server, expectation) as (_, answer):
        pass
    return answer.result().wrong(expectation)


def _look(server: Server, expectation: Expectation) -> list[str]:
    with _started(server, expectation) as (id, answer):
        if answer.done():
            return ["it ended before it was looked at", *answer.result().wrong(expectation)]
        # Of an id in flight PUT answers the state; what the second request says is ignored.
        response = server.http.put(f"/predictions/{id}", json={"input": expectation.input})
        return Asked(response, id).wrong(expectation)


@contextlib.contextmanager
def _started(server: Server, expectation: Expectation) -> Iterator[tuple[str, Future[Asked]]]:
    """A prediction that has said "started"; canceled until it has ended when left."""
    id = server.new_id()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_post, server, expectation, id=id)
        try:
            server.wait_logged("started", id, answer.done)
            yield id, answer
            while not answer.done():
                # Again: coglet may forget a cancel, and interrupts a loop only between two steps.
                server.http.post(f"/predictions/{id}/cancel")
                with contextlib.suppress(TimeoutError):
                    answer.exception(0.2)
        except BaseException:
            # Nothing would ever end the prediction, nor the thread that waits for its answer.
            server.kill()
            raise


def _health(server: Server, expectation: Expectation) -> list[str]:
    file = server.folder / expectation.touch
    if expectation.touch:
        file.touch()
    try:
        return Asked(server.http.get("/health-check"), "").wrong(expectation)
    finally:
        if expectation.touch:
            file.unlink()


def _post(server: Server, expectation: Expectation, name: str = "", id: str = "") -> Asked:
    """One prediction. A real coglet's server is asked again for a while when it says 409."""
    id = id or server.new_id()
    more = {"name": name} if name else {}
    if expectation.large:
        more["text"] = "x" * expectation.large
    body = {"input": expectation.input | more, "id": id, **expectation.more}
    deadline = time.monotonic() + _REFUSAL_LIMIT
    while True:
        response = server.http.post("/predictions", json=body)
        if response.status_code != 409 or server.cell.server != "coglet":
            return Asked(response, id, name)
        if time.monotonic() > deadline:
            raise SlotLost(response.text)
        time.sleep(0.005)


def _filled_in(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled_in(inner, names) for key, inner in value.items()}
    if isinstance(value, str):
        for name, text in names.items():
            value = value.replace(name, text)
    return value


_WAYS = {
    "predict": _predict,
    "sequence": _sequence,
    "together": _together,
    "cancel": _cancel,
    "look": _look,
    "health": _health,
}
