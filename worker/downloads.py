"""Fetching URLs into files: bounded in size and time, tried again when a connection fails.

The threads that fetch know nothing of time: whoever waits for them does, and ends them all when it
is over. So the limit holds whatever a server does, and a thread that can't be ended, in the
resolver of the C library, holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import ExitStack, closing
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from attrs import define, field

from protocol.addresses import refused_kind
from worker.connections import Connections
from worker.error_text import describe
from worker.file_folder import FolderRemoved
from worker.http_client import REDIRECTS_MAX, open_client
from worker.http_libraries import DOWNLOAD_THREAD, HTTP_LIBRARIES, load_http_libraries
from worker.network_streams import ConnectionFailed, UrlRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import IO

    from worker.options import Options

    OpenFile = Callable[[], AbstractContextManager[IO[bytes]]]

__all__ = ["DownloadFailed", "Downloader"]

AT_ONCE: Final = 8
"""Downloads that run at once for one prediction."""

ATTEMPTS: Final = 3
"""How often a connection is tried."""

ATTEMPT_PAUSE: Final = 0.2
"""Seconds between the first attempt and the second; twice as long each time."""

WAIT_STEP: Final = 0.1
"""Seconds of one step of waiting. Between two an exception can be raised in a thread from outside,
which is how predictions are cancelled that run in threads."""

CHUNK_SIZE: Final = 256 * 1024
"""Bytes that are written at once."""


class DownloadFailed(Exception):
    """A URL could not be fetched. The text says why, for the client."""


@define(eq=False)
class _Job:
    url: str
    open_file: OpenFile
    outcome: SimpleQueue[Exception | None] = field(factory=SimpleQueue)
    """What comes first counts. Unlike a lock it is whole after a `Cancel` has hit who waits."""


class Downloader:
    """Downloads for one prediction, from now on until `close`.

    Args:
        options: limits, and what a client may ask for.
        trusted: whether the URLs are the model's own, which may lead anywhere.
    """

    def __init__(self, options: Options, *, trusted: bool) -> None:
        self._options = options
        self._check = None if trusted else self._check_address
        self._deadline = time.monotonic() + options.download_timeout
        self._connections = Connections()
        self._lock = threading.Lock()
        self._jobs: list[_Job] = []
        self._waiting: deque[_Job] = deque()
        self._threads = 0

    def start(self, url: str, open_file: OpenFile) -> Callable[[], None]:
        """Begin to fetch `url` into a file; the result waits until that is done.

        Args:
            url: what to fetch.
            open_file: opens the file, anew for each attempt. What there is of it stays when the
                download fails.

        Raises:
            DownloadFailed: from the result: it could not be fetched, took too long, is too big, or
                `close` came.
        """
        job = _Job(url, open_file)
        with self._lock:
            self._jobs.append(job)
            self._waiting.append(job)
            another = self._threads < AT_ONCE
            self._threads += another
        if self._connections.is_cut:
            job.outcome.put(_over())
        if another:
            # No pool: the interpreter would wait for its threads when it ends.
            threading.Thread(target=self._work, name=DOWNLOAD_THREAD, daemon=True).start()
        return partial(self._wait, job)

    def close(self) -> None:
        """End all downloads, and the waiting for them. From any thread; waits for nothing."""
        self._connections.cut()
        with self._lock:
            jobs = self._jobs[:]
        for job in jobs:
            job.outcome.put(_over())

    def _wait(self, job: _Job) -> None:
        while True:
            left = self._deadline - time.monotonic()
            try:
                error = job.outcome.get(timeout=min(max(left, 0.0), WAIT_STEP))
                break
            except Empty:
                if left <= 0:
                    raise DownloadFailed(
                        f"{_without_secrets(job.url)}: not done after "
                        f"{self._options.download_timeout:g} seconds (--download-timeout)"
                    ) from None
        if error is not None:
            raise error

    # --- in a thread of its own ---------------------------------------------------------------

    def _work(self) -> None:
        with ExitStack() as stack:
            client = None
            for job in self._remaining():
                outcome: Exception | None = None
                try:
                    if client is None:
                        client = stack.enter_context(closing(self._new_client()))
                    self._download(client, job)
                # The end of the thread: whoever waits gets it.
                except Exception as error:
                    outcome = error
                # Without a length an answer seems whole where it was cut, and else seems broken.
                job.outcome.put(_over() if self._connections.is_cut else outcome)

    def _new_client(self) -> Any:
        try:
            return open_client(self._connections, self._check)
        except ImportError as error:
            if error.name in HTTP_LIBRARIES:
                text = "URLs as inputs need httpx in the model's environment: pip install httpx"
            else:
                text = f"httpx of the model's environment cannot be loaded: {describe(error)}"
            raise DownloadFailed(text) from error
        except OSError as error:  # `ssl.SSLError` is one
            raise DownloadFailed(
                "the certificates of this server's environment cannot be read "
                f"(SSL_CERT_FILE, SSL_CERT_DIR): {error.strerror or error}"
            ) from error

    def _remaining(self) -> Iterator[_Job]:
        """The jobs that nobody has begun; at their end this thread is no longer counted."""
        while True:
            with self._lock:
                if self._connections.is_cut or not self._waiting:
                    self._threads -= 1
                    return
                job = self._waiting.popleft()
            yield job

    def _download(self, client: Any, job: _Job) -> None:
        shown = _without_secrets(job.url)
        for attempt in range(ATTEMPTS):
            try:
                self._attempt(client, job)
            except _Failure as failure:
                is_last = attempt + 1 == ATTEMPTS or not failure.is_temporary
                if is_last or self._connections.pause(ATTEMPT_PAUSE * 2**attempt):
                    raise DownloadFailed(f"{shown}: {failure}") from failure.__cause__
            else:
                return

    def _attempt(self, client: Any, job: _Job) -> None:
        libraries = load_http_libraries()
        httpx, httpcore = libraries.httpx, libraries.httpcore
        try:
            with client.stream("GET", job.url) as response:
                if not response.is_success:
                    status = f"{response.status_code} {response.reason_phrase}".rstrip()
                    raise DownloadFailed(f"{status} for url: {_without_secrets(job.url)}")
                self._store(response, job.open_file)
        except ConnectionFailed as error:
            raise _Failure(str(error), is_temporary=True) from error
        # What libraries say of answers and URLs is not repeated: it may be secret.
        except httpcore.ProtocolError as error:
            text = "the server's answer breaks off, or is not HTTP"
            raise _Failure(text, is_temporary=True) from error
        except (UrlRefused, FolderRemoved) as error:
            raise _Failure(str(error)) from error
        except httpcore.ProxyError as error:
            raise _Failure(f"the proxy refuses it: {error}") from error
        except httpx.TooManyRedirects as error:
            raise _Failure(f"more than {REDIRECTS_MAX} redirects") from error
        except httpx.RemoteProtocolError as error:
            raise _Failure("redirects to what is not a URL") from error
        except httpx.DecodingError as error:
            raise _Failure("its content cannot be unpacked") from error
        # httpx lets a ValueError or UnicodeError of an odd URL through.
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, ValueError) as error:
            raise _Failure("is not a URL that can be fetched") from error
        except OSError as error:
            raise _Failure(f"cannot be stored: {error.strerror or error}") from error

    def _store(self, response: Any, open_file: OpenFile) -> None:
        announced = response.headers.get("content-length", "")
        self._check_size(int(announced) if announced.isdecimal() else 0)
        size = 0
        with open_file() as file:
            for chunk in response.iter_bytes(CHUNK_SIZE):
                size += len(chunk)
                self._check_size(size)
                file.write(chunk)

    def _check_size(self, size: int) -> None:
        if size > self._options.download_max:
            raise _Failure(f"larger than {self._options.download_max} bytes (--download-max)")

    def _check_address(self, address: str) -> None:
        kind = refused_kind(address, deny_private=False)
        if kind is not None:
            raise UrlRefused(f"leads to a {kind} address; those are always refused")
        if self._options.deny_private_urls:
            kind = refused_kind(address, deny_private=True)
            if kind is not None:
                raise UrlRefused(
                    f"leads to a {kind} address; give a URL of a public server "
                    "(--deny-private-urls)"
                )


class _Failure(Exception):
    """One attempt has failed."""

    def __init__(self, text: str, *, is_temporary: bool = False) -> None:
        super().__init__(text)
        self.is_temporary = is_temporary


def _over() -> DownloadFailed:
    return DownloadFailed("the prediction has ended")


def _without_secrets(url: str) -> str:
    """The URL for people: without its query and its password, which often are credentials."""
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return "the URL"  # its parts are not what they seem: a password may hold a slash
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))
