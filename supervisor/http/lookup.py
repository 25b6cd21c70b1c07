"""The routes that tell of predictions, in flight or remembered: one by its id, and the list.

Coglet has neither. Trainings are found among the predictions, as their ids are.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from supervisor.http.errors import detail_response, invalid_response, unknown_prediction
from supervisor.http.predictions import state
from supervisor.http.request_body import BadRequest
from supervisor.http.values import sized_json_response
from supervisor.interface import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from supervisor.http.values import Request, Response
    from supervisor.interface import PredictionView, Service

__all__ = [
    "LIMIT_DEFAULT",
    "LIMIT_MAX",
    "get_prediction",
    "list_entry",
    "list_predictions",
    "page",
    "times",
]

LIMIT_DEFAULT: Final = 20
"""Predictions on a page of the list."""

LIMIT_MAX: Final = 100

_LEFT_OUT: Final = ("input", "output", "logs")
"""What an entry of the list does not have: a hundred of them could be many gigabytes."""


async def get_prediction(service: Service, prediction_id: str) -> Response:
    """`GET /predictions/{id}`: all that is known of it; 404 if that is nothing."""
    known = service.recall(prediction_id)
    if known is None:
        return unknown_prediction()
    view = known.view()
    return await sized_json_response(200, {**state(view), **times(view)}, view.size)


def list_entry(view: PredictionView) -> dict[str, Any]:
    """What the list says of a prediction, of which a summary is enough."""
    entry = {**state(view), **times(view)}
    return {name: value for name, value in entry.items() if name not in _LEFT_OUT}


async def list_predictions(
    service: Service, request: Request, path: str, *, is_allowed: bool
) -> Response:
    """`GET /predictions?limit=…&cursor=…`: a page of them, the newest first."""
    try:
        found, size = page(service, request, path, is_allowed=is_allowed)
    except BadRequest as error:
        return error.response
    return await sized_json_response(200, found, size)


def page(
    service: Service,
    request: Request,
    path: str,
    entry: Callable[[PredictionView], dict[str, Any]] = list_entry,
    *,
    is_allowed: bool,
) -> tuple[dict[str, Any], int]:
    """A page of the list, and how many bytes of JSON it has, roughly.

    Args:
        service: knows them.
        request: its query has the limit, and the cursor of a page that is not the first.
        path: where the list is, for the link to the next page.
        entry: what it says of each.
        is_allowed: whether this client may know what others have asked.

    Raises:
        BadRequest: 403, or 422 for what the query says.
    """
    if not is_allowed:
        detail = "The list needs the token of --auth-token, or a client on this machine"
        raise BadRequest(detail_response(403, detail))
    limit = _limit(request.query.get("limit"))
    if limit is None:
        raise _invalid("limit", f"must be a number from 1 to {LIMIT_MAX}")
    cursor = request.query.get("cursor")
    place = None if cursor is None else _place(cursor)
    if cursor is not None and place is None:
        raise _invalid("cursor", 'must be what "next" of another page has')
    handles, end = service.page(place, limit)
    following = None
    if end is not None:
        following = f"{path}?{urlencode({'limit': limit, 'cursor': _cursor(end)})}"
    views = [handle.summary() for handle in handles]
    results = [entry(view) for view in views]
    return {"results": results, "next": following}, sum(view.size for view in views)


def times(view: PredictionView) -> dict[str, str]:
    """When it was created, started, completed, in RFC 3339; what has not happened is left out."""
    times = {
        "created_at": view.created_at,
        "started_at": view.started_at,
        "completed_at": view.completed_at,
    }
    return {name: time.isoformat() for name, time in times.items() if time is not None}


# --- the query --------------------------------------------------------------------------------


def _limit(value: str | None) -> int | None:
    if value is None:
        return LIMIT_DEFAULT
    if not re.fullmatch(r"\d{1,3}", value, re.ASCII) or not 1 <= int(value) <= LIMIT_MAX:
        return None
    return int(value)


def _cursor(place: int) -> str:
    """A place in the list, so that nobody is tempted to count with it."""
    return base64.urlsafe_b64encode(place.to_bytes(6, "big")).decode()


def _place(cursor: str) -> int | None:
    try:
        place = base64.b64decode(cursor.encode("ascii"), b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    return int.from_bytes(place, "big") if len(place) == 6 else None


def _invalid(name: str, what: str) -> BadRequest:
    return BadRequest(invalid_response([InputError(("query", name), what)]))
