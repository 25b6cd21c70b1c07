"""Server-sent events: what happens in a prediction, as it happens (`spec/http-api.md` 4).

A reader takes events from the prediction's bounded history at its own pace; what is ready is sent
together. It costs the model and its neighbours nothing if it is slow: it finds a gap.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import trio
from attrs import frozen

from protocol.json_text import dumps
from supervisor.big_json import encode, encoders
from supervisor.http.errors import refusal_response, unknown_prediction
from supervisor.http.values import PIECE, Response, json_response
from supervisor.interface import OFF_THE_LOOP, Event, EventKind, Gap, TooManyFollowers
from supervisor.model_schema import documents_streaming

if TYPE_CHECKING:
    from supervisor.http.values import Request
    from supervisor.interface import Follower, PredictionHandle, Service

__all__ = [
    "CROWD",
    "EVENT_STREAM",
    "GATHERING",
    "KEEP_ALIVE",
    "Form",
    "Streaming",
    "coglet_form",
    "follow",
    "gap_error",
    "last_event_id",
    "not_opted_in",
    "stream_known",
]

Form: TypeAlias = Callable[[Event | Gap], bytes]
"""How an event is written: never as nothing."""

EVENT_STREAM: Final = "text/event-stream"

TOGETHER: Final = 64 * 1024
"""Bytes from which events that are ready are not kept for the next ones."""

CROWD: Final = 8
"""A write of so many events is followed by a pause of `GATHERING`: the next ones gather."""

GATHERING: Final = 0.005
"""Seconds. A write costs as much as ten events: in a flood, fewer and bigger ones leave time for
everything else."""

KEEP_ALIVE: Final = b": keep-alive\n\n"

_HEADERS: Final = (
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),  # nginx would collect the events
)


@frozen
class Streaming:
    """How the operator wants streams."""

    strict: bool = False
    """Whether only models that opted in are streamed."""
    heartbeat: float = 15.0
    """Seconds of silence after which a comment is sent."""


def coglet_form(event: Event | Gap) -> bytes:
    """An event as coglet writes it, with its number."""
    if isinstance(event, Gap):
        gap = dumps({"error": gap_error(event), "skipped": event.skipped})
        # A browser comes back with this number, and goes on behind the gap.
        return b"id: %d\nevent: error\ndata: %s\n\n" % (event.last, gap)
    kind, data = event.kind.value.encode(), encode(event.data, event.size)
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, kind, data)


def gap_error(gap: Gap) -> str:
    """What a reader is told that will not get all of the events."""
    what = "stream lagged" if gap.lagged else "stream replay truncated"
    return f"SSE {what}; events were dropped"


async def stream_known(
    service: Service,
    request: Request,
    prediction_id: str,
    streaming: Streaming,
    form: Form = coglet_form,
) -> Response:
    """`GET /predictions/{id}/stream`: of one that is in flight or remembered, else 404."""
    if streaming.strict and (refusal := not_opted_in(service)) is not None:
        return refusal
    known = service.recall(prediction_id)
    if known is None:
        return unknown_prediction()
    return follow(known, request, streaming, form)


def follow(
    handle: PredictionHandle,
    request: Request,
    streaming: Streaming,
    form: Form = coglet_form,
    *,
    is_owner: bool = False,
) -> Response:
    """The events of a prediction, from where the reader left off.

    Args:
        handle: the prediction.
        request: its `Last-Event-ID` says which events the reader knows.
        streaming: how.
        form: in which words.
        is_owner: whether this reader began the prediction, and waits for it: then it is cancelled
            once the last reader has gone, whichever that is.
    """
    after = last_event_id(request.headers.get("last-event-id"))
    if handle.summary().status.is_terminal and after == handle.events - 1:
        return Response(204)  # what makes an EventSource stop coming back
    try:
        follower = handle.follow(after)
    except TooManyFollowers as refusal:
        return refusal_response(refusal)
    if is_owner:
        handle.ends_unread = True
    events = _Events(follower, streaming.heartbeat, form)
    request.at_end(partial(_leave, handle, events, is_owner=is_owner))
    return Response(200, headers=_HEADERS, content_type=EVENT_STREAM, pieces=events)


def _leave(handle: PredictionHandle, events: _Events, *, is_owner: bool) -> None:
    events.close()  # the client may have gone before it was entered
    # A client that read too slowly has not left: it can still ask for the result.
    # Nor has one who only asked for the header (HEAD) ever read.
    has_read = (is_owner or events.has_begun) and not events.found_gap
    if handle.ends_unread and not handle.followers and has_read:
        handle.cancel()


def not_opted_in(service: Service) -> Response | None:
    """Coglet's refusal to stream what the model has not opted in to; None: it has."""
    if documents_streaming(service.openapi()):
        return None
    reason = "This model does not support streaming responses."
    return json_response(406, {"error": f"{reason} Add @cog.streaming to predict() to enable SSE."})


def last_event_id(value: str | None) -> int | None:
    """The number of the last event that the reader knows; None if it names none of ours."""
    if value is None or not re.fullmatch(r"\d{1,18}", value.strip(), re.ASCII):
        return None
    return int(value)


class _Events:
    """The body of one reader's answer."""

    def __init__(self, follower: Follower, heartbeat: float, form: Form) -> None:
        self._follower = follower
        self._heartbeat = heartbeat
        self._form = form
        self.has_begun = False
        self.found_gap = False
        self._rest = memoryview(b"")
        """What is yet to be given on of what was written last."""
        self._not_before = -inf
        """When there may be a next write."""

    def close(self) -> None:
        self._follower.close()

    async def __aenter__(self) -> Self:
        self.has_begun = True
        await self._follower.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._follower.__aexit__(*exception)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            if trio.current_time() < self._not_before:  # else a sleep of nothing costs five events
                await trio.sleep_until(self._not_before)
            event = None
            with trio.move_on_after(self._heartbeat):
                event = await anext(self._follower)
            if event is None:
                return KEEP_ALIVE
            self._rest = memoryview(await self._with_what_is_ready(event))
        piece, self._rest = self._rest[:PIECE], self._rest[PIECE:]
        return bytes(piece)

    async def _with_what_is_ready(self, event: Event | Gap | None) -> bytearray:
        written = bytearray()
        count = 0
        is_last = False
        while event is not None:
            is_last = isinstance(event, Gap) or event.kind is EventKind.COMPLETED
            self.found_gap = self.found_gap or isinstance(event, Gap)
            written += await self._written(event)
            count += 1
            event = self._follower.next_nowait() if len(written) < TOGETHER else None
        if count >= CROWD and len(written) < TOGETHER and not is_last:
            self._not_before = trio.current_time() + GATHERING
        return written

    async def _written(self, event: Event | Gap) -> bytes:
        if isinstance(event, Gap) or event.size < OFF_THE_LOOP:
            return self._form(event)
        return await trio.to_thread.run_sync(self._form, event, limiter=encoders())
