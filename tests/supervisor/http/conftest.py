from __future__ import annotations

import functools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from supervisor.config import Config
from supervisor.http.draining import Draining
from supervisor.http.server import serve_http
from tests.supervisor.http.fake_service import FakeService, Running, Serve
from tests.supervisor.process_table import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supervisor.http.listening import Listening


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def serve(service: FakeService) -> Serve:
    """`async with serve(times=…, limits=…) as running`: a server in front of `service`."""

    @asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Running]:
        config = Config("model.py", port=0, **changes)
        draining = Draining()
        async with trio.open_nursery() as nursery:
            start = functools.partial(serve_http, service, config, draining=draining)
            found: Listening = await nursery.start(start)
            with trio.fail_after(PATIENCE):
                yield Running(found, draining, nursery.cancel_scope)
            nursery.cancel_scope.cancel()

    return running
