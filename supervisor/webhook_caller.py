"""One try to deliver one webhook: a POST, and what is to be thought of its answer.

Whatever goes wrong is a value. What is said of it names no URL: those of webhooks carry secrets.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol, Self

import httpx
import trio
from attrs import frozen

from protocol.messages import Trace
from supervisor.outgoing import Guard, UrlRefused, header_bytes, open_client
from supervisor.places import PlacesByHost
from supervisor.version import PACKAGE, our_version
from supervisor.webhook_signature import signature_headers

if TYPE_CHECKING:
    from supervisor.config import Config

__all__ = ["ANSWER_TIMEOUT", "Caller", "HttpCaller", "Message", "Outcome"]

ANSWER_TIMEOUT: Final = 30.0
"""Seconds for one try of a small message, redirects included."""

_LEAST_SPEED: Final = 1024 * 1024
"""Bytes of a message for each of which seconds a try has more time."""

_REDIRECTS_MAX: Final = 5
_AT_ONCE: Final = 256
_AT_ONCE_PER_HOST: Final = 32
"""Tries under way. One host that does not answer holds up little of what goes to others."""

_PIECE: Final = 64 * 1024
"""Bytes that are handed over at once."""

_OFF_THE_LOOP: Final = 1024 * 1024
"""Bytes of a message that is signed in a thread."""

_BODY_TIMEOUT: Final = 1.0
"""Seconds for the body of an answer."""

_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


@frozen
class Message:
    """What is sent, the same at every try."""

    id: str
    url: httpx.URL
    body: bytes | bytearray
    trace: Trace | None = None


@frozen
class Outcome:
    """What became of one try."""

    problem: str = ""
    """Why it was not delivered, in a few words; empty: it was."""
    again: bool = False
    """Whether another try may do better."""
    retry_after: float | None = None
    """Seconds that the receiver wants to be left alone."""


class Caller(Protocol):
    """Who delivers messages."""

    async def post(self, message: Message) -> Outcome:
        """Try once. What a receiver or a URL does wrong is in the outcome."""
        ...

    async def aclose(self) -> None:
        """Let go of everything."""
        ...


class HttpCaller:
    """Delivers over the network, for real.

    Args:
        config: secrets, and where URLs of clients may lead.
    """

    def __init__(self, config: Config) -> None:
        self._client = open_client(guard=Guard(config.worker.deny_private_urls))
        self._keys = config.webhook_secret or ()
        self._headers = {
            "content-type": "application/json",
            "user-agent": os.environ.get("COG_USER_AGENT") or f"{PACKAGE}/{our_version()}",
        }
        if config.webhook_auth_token:
            self._headers["authorization"] = f"Bearer {config.webhook_auth_token}"
        self._places = PlacesByHost(_AT_ONCE, _AT_ONCE_PER_HOST)

    async def aclose(self) -> None:
        """Close what is left of connections."""
        await self._client.aclose()

    async def post(self, message: Message) -> Outcome:
        """Try once, and wait for the answer within what the size of the message grants."""
        timeout = ANSWER_TIMEOUT + len(message.body) / _LEAST_SPEED
        async with self._places.of(message.url.host):
            with trio.move_on_after(timeout):
                return await self._judged(message)
        return Outcome(f"no answer within {timeout:.0f} s", again=True)

    async def _judged(self, message: Message) -> Outcome:
        try:
            return await self._send(message)
        except UrlRefused as error:
            return Outcome(f"its URL {error}")
        except (httpx.NetworkError, httpx.TimeoutException, httpx.ProxyError) as error:
            return Outcome(f"{type(error).__name__}: {error}".removesuffix(": "), again=True)
        except httpx.RemoteProtocolError as error:
            return Outcome(type(error).__name__, again=True)
        # A URL of a client's can be wrong in many ways, some of them found out far below.
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
            return Outcome(type(error).__name__)

    async def _send(self, message: Message) -> Outcome:
        request = self._client.build_request(
            "POST",
            message.url,
            content=_Pieces(message.body),
            headers=await self._headers_of(message),
        )
        for _ in range(_REDIRECTS_MAX + 1):
            # One hop at a time: httpx would read the whole body of a redirect, however long, and
            # go on with a GET where the body would not come along.
            response = await self._client.send(request, stream=True, follow_redirects=False)
            await _let_go(response)
            if response.next_request is None:
                return _outcome(response)
            if response.next_request.method != "POST":
                code = response.status_code
                return Outcome(
                    f"it redirects ({code}) without the body (307 and 308 would keep it)"
                )
            request = response.next_request
        return Outcome(f"it redirects more than {_REDIRECTS_MAX} times")

    async def _headers_of(self, message: Message) -> dict[bytes, bytes]:
        headers = self._headers | {"content-length": str(len(message.body))}
        if self._keys:
            sign = (self._keys, message.id, int(time.time()), message.body)
            if len(message.body) < _OFF_THE_LOOP:
                headers |= signature_headers(*sign)
            else:
                headers |= await trio.to_thread.run_sync(signature_headers, *sign)
        return header_bytes(headers, message.trace)


def _outcome(response: httpx.Response) -> Outcome:
    code = response.status_code
    if response.is_success:
        return Outcome()
    after = _retry_after(response.headers.get("retry-after"))
    return Outcome(f"it answered {code}", again=code in _AGAIN, retry_after=after)


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number of them or from a date."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


async def _let_go(response: httpx.Response) -> None:
    """Be done with the body, whatever it says."""
    length = response.headers.get("content-length", "")
    if re.fullmatch(r"\d{1,5}", length, re.ASCII):
        # Short: if it comes whole, the connection can be used again. What counts has come already.
        with trio.move_on_after(_BODY_TIMEOUT), suppress(httpx.HTTPError):
            async for _ in response.aiter_raw():
                pass
    await response.aclose()


class _Pieces(httpx.AsyncByteStream):
    """A message, sent in pieces; from its beginning each time it is asked for."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._body = body

    def __aiter__(self) -> _Reading:
        return _Reading(self._body)


class _Reading:
    """No generator: one that is left alone would end nobody knows when."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._body = memoryview(body)
        self._offset = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = self._body[self._offset : self._offset + _PIECE]
        if not piece:
            raise StopAsyncIteration
        self._offset += len(piece)
        return bytes(piece)
