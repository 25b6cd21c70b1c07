"""The two servers of a stage, and what is seen of both when a row is asked."""

from __future__ import annotations

import contextlib
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import httpx

from tests.differential.exchange import send
from tests.interop.cells import Cell
from tests.interop.environments import VERSIONS
from tests.interop.servers import Serving, start_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.differential.rows import Ask, Row, Stage
    from tests.interop.servers import Server
    from tests.reviewed_differences import Observation
    from tests.worker.corpus_facts import Facts

__all__ = ["NotSettled", "Sides"]

_LOST_AFTER = 3.0
"""Seconds after which coglet's server has lost a slot that is not free again."""

_ONLY_OURS = {"COGLET_CANCEL_GRACE": "100"}
"""A worker of ours is not ended, and replaced, because a busy machine is slow to cancel."""


class NotSettled(Exception):
    """A server has no slot any more: coglet's loses one now and then. Only another one helps."""


class Sides:
    """Coglet's server and ours with the model of `stage`, for as long as it is entered."""

    def __init__(self, stage: Stage) -> None:
        self._serving = {
            name: Serving(
                Cell(name, name, VERSIONS[0]),
                stage.ref,
                1,
                has_schema=stage.has_schema,
                is_train=stage.is_train,
                variables={**stage.variables, **(_ONLY_OURS if name == "ours" else {})},
            )
            for name in ("coglet", "ours")
        }
        self._stack = contextlib.ExitStack()
        self._is_of_use = True

    def __enter__(self) -> Self:
        """Start both at the same time."""
        with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
            for started in [pool.submit(each.__enter__) for each in self._serving.values()]:
                stack.push(started.result())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        self._stack.close()

    def ask(self, row: Row) -> tuple[Observation, Observation]:
        """What is seen of coglet, and of ours."""
        with ThreadPoolExecutor() as pool:
            if not self._is_of_use:
                list(pool.map(Serving.restart, self._serving.values()))
            self._is_of_use = not row.is_fatal
            coglet, ours = (
                pool.submit(_observe, serving, row) for serving in self._serving.values()
            )
            return coglet.result(), ours.result()


def _observe(serving: Serving, row: Row) -> Observation:
    for _ in range(3):
        try:
            return _asked(serving.server, row)
        except NotSettled:
            if serving.server.cell.server == "ours":
                raise
            serving.restart()
    raise NotSettled(f"{row.name}: coglet's server lost its slot again and again")


def _asked(server: Server, row: Row) -> Observation:
    """By place, the number of the request, its facts. Raises `NotSettled`."""
    id = server.new_id()
    port = server.http.base_url.port
    assert port is not None
    seen = {}
    with contextlib.ExitStack() as stack:
        if row.is_busy:
            stack.enter_context(_running(server, id))
        for number, each in enumerate(row.asks, 1):
            after = functools.partial(_after, server, each, id)
            facts = send(port, each, id, after, server.made_ids)
            seen[str(number)] = _without_folder(facts, str(server.folder.parent))
            if not row.is_busy and not row.is_fatal:
                _settle(server)
    if row.is_busy:
        _settle(server)
    return seen


@contextlib.contextmanager
def _running(server: Server, id: str) -> Iterator[None]:
    """The prediction `id` runs in the only slot."""
    body = {"id": id, "input": {"do": "wait"}}
    headers = {"prefer": "respond-async"}
    response = server.http.post("/predictions", json=body, headers=headers)
    assert response.status_code == 202, response.text
    server.wait_logged("started", id, lambda: False)
    try:
        yield
    finally:
        server.http.post(f"/predictions/{id}/cancel")


def _without_folder(facts: Facts, folder: str) -> Facts:
    """Facts as they would be anywhere: tracebacks name the model's file."""
    named: Facts = json.loads(json.dumps(facts).replace(folder, "<folder>"))
    return named


def _after(server: Server, ask: Ask, id: str, is_answered: Callable[[], bool]) -> None:
    if ask.then_cancel and server.wait_logged("started", id, is_answered):
        response = server.http.post(f"/{ask.path.split('/')[1]}/{id}/cancel")
        assert response.status_code == 200, response.text


def _settle(server: Server) -> None:
    """Wait until the slot is free: coglet answers before it is, and refuses who comes then (H1)."""
    # Ours loses none: there it is only a matter of how busy the machine is.
    limit = _LOST_AFTER if server.cell.server == "coglet" else start_limit()
    deadline = time.monotonic() + limit
    while True:
        try:
            status = server.http.get("/health-check").json()["status"]
        except httpx.TransportError as error:
            raise NotSettled(f"it does not answer: {server.log[-2000:]}") from error
        if status != "BUSY":
            return
        if time.monotonic() > deadline:
            raise NotSettled(f"it is {status} for too long: {server.log[-2000:]}")
        time.sleep(0.002)
