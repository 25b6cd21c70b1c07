"""Sending one output file to where the operator, or the client, wants it: by PUT, in pieces.

A file is never whole in memory. It is opened once, before: what is sent is what was checked, at
every try and after every redirect, whatever becomes of its name meanwhile.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote

import httpx
import stamina
import trio
from attrs import frozen

from supervisor.outgoing import UrlRefused, header_bytes, open_client, parse_url
from supervisor.outputs import OutputUnreadable
from supervisor.places import PlacesByHost
from supervisor.upload_content import Content, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.messages import Trace
    from supervisor.outgoing import Guard
    from supervisor.outputs import OutputFile
    from supervisor.places import Places

__all__ = ["Destination", "UploadFailed", "Uploader", "file_headers"]

_REDIRECTS_MAX: Final = 10
_TRIES: Final = 4
_NO_MORE_TRIES: Final = 120.0
"""Seconds of trying, after which there is no other try."""

_LEAST_SPEED: Final = 256 * 1024
"""Bytes of a file for each of which seconds a try may last longer than its timeout, redirects
included. A receiver that takes a little now and then is given up in the end."""

_AT_ONCE: Final = 64
_AT_ONCE_PER_HOST: Final = 16
"""Tries under way. One host that is slow holds up little of what goes to others."""

_OPEN_MAX: Final = 128
_OPEN_MAX_PER_HOST: Final = 32
"""Files that are open for one uploader, those that wait included."""


class UploadFailed(Exception):
    """A file could not be uploaded. The text says to which host, and why; never the whole URL."""


class _WorthAnotherTry(UploadFailed):
    """The next try may do better."""


@frozen
class Destination:
    """Where the files of a prediction go.

    Attributes:
        url: http or https.
        is_prefix: the name of a file follows directly on its path; else a slash comes between.
    """

    url: httpx.URL
    is_prefix: bool = False

    @classmethod
    def parse(cls, text: str, *, is_prefix: bool = False) -> Self:
        """The destination that `text` names.

        Raises:
            ValueError: it is not a URL, or not one of http or https.
        """
        return cls(parse_url(text), is_prefix)

    def of(self, name: str) -> httpx.URL:
        """The URL for a file that is called `name`; a query stays behind it.

        Raises:
            UploadFailed: it gets too long.
        """
        path, mark, query = self.url.raw_path.partition(b"?")
        if not self.is_prefix and not path.endswith(b"/"):
            path += b"/"
        quoted = quote(name, safe="").encode()
        try:
            return self.url.copy_with(raw_path=path + quoted + mark + query, fragment=None)
        except httpx.InvalidURL as error:
            raise _failed(self.url, str(error)) from error


def file_headers(file: OutputFile, prediction_id: str, trace: Trace | None) -> dict[bytes, bytes]:
    """What is said of a file beside its content."""
    headers = {
        "Content-Type": file.mime_type,
        "Content-Length": str(file.size),
        "X-Prediction-Id": prediction_id,
    }
    return header_bytes(headers, trace)


class Uploader:
    """Uploads through one client, a few at once.

    Args:
        guard: where files may go; None: anywhere.
        timeout: seconds without progress: until a connection is made and the first piece asked
            for, for each piece, and from the last one to the answer. One try, with all its
            redirects, takes at most three times as long and a second for each 256 KiB.
    """

    def __init__(self, guard: Guard | None, timeout: float) -> None:
        self._guard = guard
        self._opening = trio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._timeout = timeout
        self._at_once = PlacesByHost(_AT_ONCE, _AT_ONCE_PER_HOST)
        self._open = PlacesByHost(_OPEN_MAX, _OPEN_MAX_PER_HOST)

    def room_for(self, destination: Destination) -> Places:
        """Where one place has to be taken for each file that is open to be uploaded there."""
        return self._open.of(_host(destination.url))

    async def put(self, file: OutputFile, url: httpx.URL, headers: Mapping[bytes, bytes]) -> str:
        """Upload `file`; where it can be found afterwards, by what the receiver says.

        Raises:
            UploadFailed: it is not there, after as many tries as made sense.
            OutputUnreadable: the file could not be read to its end.
        """
        tries = stamina.retry_context(
            on=_WorthAnotherTry, attempts=_TRIES, timeout=None, wait_initial=0.2
        )
        places = self._at_once.of(_host(url))
        tried = 0.0
        async for attempt in tries:
            with attempt:
                async with places:  # not in the pauses: others may go on meanwhile
                    begun = trio.current_time()
                    try:
                        return await self._try(file, url, headers)
                    except _WorthAnotherTry as error:
                        tried += trio.current_time() - begun
                        if tried >= _NO_MORE_TRIES:
                            raise UploadFailed(str(error)) from error
                        raise
        raise AssertionError("stamina raises the last error")

    async def aclose(self) -> None:
        """Close the connections that are kept for more."""
        if self._client is not None:
            await self._client.aclose()

    async def _try(self, file: OutputFile, url: httpx.URL, headers: Mapping[bytes, bytes]) -> str:
        client = await self._ready_client(url)
        request = client.build_request("PUT", url, headers=headers)
        with trio.CancelScope() as scope:
            # The connection, the first piece and the answer may take a timeout each.
            total = 3 * self._timeout + file.size / _LEAST_SPEED
            progress = Progress(scope, self._timeout, total)
            request.stream = Content(file, progress)
            return await self._send(client, request, progress)
        if progress.is_too_slow:
            speed = _LEAST_SPEED // 1024
            reason = f"it took the file too slowly: less than {speed} KiB a second"
            raise _failed(url, reason, again=True)
        reason = f"it took nothing, or did not answer, for {self._timeout:g} s"
        raise _failed(url, reason, again=True)

    async def _ready_client(self, url: httpx.URL) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await trio.to_thread.run_sync(
                        partial(open_client, guard=self._guard)
                    )
                except OSError as error:  # SSL_CERT_FILE, say, names no certificates
                    # Clients read this: it does not say where the server keeps its files.
                    reason = (
                        "this server cannot load the certificates to trust "
                        f"(SSL_CERT_FILE, SSL_CERT_DIR): {error.strerror or type(error).__name__}"
                    )
                    raise _failed(url, reason) from error
            return self._client

    async def _send(
        self, client: httpx.AsyncClient, request: httpx.Request, progress: Progress
    ) -> str:
        for _ in range(_REDIRECTS_MAX + 1):
            progress.made()
            # One hop a time: httpx would read the whole body of a redirect, however long.
            response = await _answer_to(request, client)
            following = response.next_request
            if following is not None:
                code = response.status_code
                if following.method != request.method and code != httpx.codes.SEE_OTHER:
                    # That GET may succeed, and nothing be stored there.
                    reason = f"it redirects ({code}) without the file (307 and 308 would keep it)"
                    raise _failed(request.url, reason)
                request = following
            elif response.is_success:
                return _place(response)
            else:
                reason = f"it answered {response.status_code} {response.reason_phrase}".rstrip()
                again = response.status_code == 429 or response.status_code >= 500
                raise _failed(request.url, reason, again=again)
        raise _failed(request.url, f"there were more than {_REDIRECTS_MAX} redirects")


async def _answer_to(request: httpx.Request, client: httpx.AsyncClient) -> httpx.Response:
    """The answer, without its body, whatever that says."""
    try:
        response = await client.send(request, stream=True, follow_redirects=False)
        if response.headers.get("content-length") == "0":
            await response.aread()  # the connection can be used again
        await response.aclose()
    except OutputUnreadable:
        raise
    except UrlRefused as error:
        raise _failed(request.url, str(error)) from error
    except httpx.TransportError as error:
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise _failed(request.url, reason, again=True) from error
    # Whatever else a URL of a client's, or an answer, leads to down there (a port beyond 65535):
    # it is the upload that fails, and nothing more.
    except Exception as error:
        raise _failed(request.url, f"{type(error).__name__}: {error}") from error
    return response


def _place(response: httpx.Response) -> str:
    """Where the file is, without any credentials.

    That is what the receiver says, if it is an http: or https: URL, or else where it took the file.
    """
    url = response.url
    said = response.headers.get("location")
    if said is not None:
        try:
            place = url.join(said)
        except (httpx.InvalidURL, ValueError):
            pass
        else:
            # Clients follow it: no "javascript:", no "file:".
            if place.scheme in ("http", "https") and place.raw_host:
                url = place
    return str(url.copy_with(query=None, userinfo=b""))


def _failed(url: httpx.URL, reason: str, *, again: bool = False) -> UploadFailed:
    kind = _WorthAnotherTry if again else UploadFailed
    return kind(f"{_host(url)}: {reason}")


def _host(url: httpx.URL) -> str:
    # Not `host`, which raises for a redirect's "xn--a", say, whose label cannot be decoded.
    return url.raw_host.decode("ascii")
