"""Fetching a URL into a file: bounded in size and time, tried again when a connection fails.

httpx is loaded here, by one function and at first use: most models never need it, and its import
takes a tenth of a second.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from functools import cache
from importlib import import_module
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["DownloadFailed", "Downloader", "load_httpx"]

ATTEMPTS: Final = 3
"""How often a connection is tried."""

ATTEMPT_PAUSE: Final = 0.2
"""Seconds between the first attempt and the second; twice as long each time."""

REDIRECTS_MAX: Final = 5
"""How often one URL may point to another."""

CONNECT_TIMEOUT: Final = 10.0
"""Seconds to connect."""

STALL_TIMEOUT: Final = 30.0
"""Seconds without a byte after which a transfer is given up."""

CHUNK_SIZE: Final = 256 * 1024
"""Bytes that are written at once."""


class DownloadFailed(Exception):
    """A URL could not be fetched. The text says why, for the client."""


class Downloader:
    """Downloads for one prediction, from any thread, until `close`.

    Args:
        size_max: bytes that one file may have.
        timeout: seconds from now until which all downloads have to be done.

    Raises:
        DownloadFailed: httpx is not installed.
    """

    def __init__(self, *, size_max: int, timeout: float) -> None:
        try:
            self._httpx: Any = load_httpx()
        except ImportError as error:
            raise DownloadFailed(
                "URLs as inputs need httpx in the model's environment: pip install httpx"
            ) from error
        self._size_max = size_max
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._users = 1  # the owner; then one for each download that runs
        agent = os.environ.get("COG_USER_AGENT")
        self._client = self._httpx.Client(
            headers={"User-Agent": agent} if agent else None,
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            timeout=self._httpx.Timeout(STALL_TIMEOUT, connect=CONNECT_TIMEOUT),
        )

    def download(self, url: str, path: str) -> None:
        """Fetch `url` into the new file `path`; what there is of it stays when this fails.

        Raises:
            DownloadFailed: it could not be fetched, took too long, is too big, or `close` came.
        """
        with self._lock:
            self._users += 1
        try:
            self._download(url, path)
        finally:
            self._leave()

    def close(self) -> None:
        """End the connections; those of downloads in other threads end at their next chunk."""
        self._closed.set()
        self._leave()

    def _leave(self) -> None:
        # The last one closes the client: a socket closed under a thread that reads from it could
        # make it read from another one that gets the same number.
        with self._lock:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            self._client.close()

    def _download(self, url: str, path: str) -> None:
        httpx = self._httpx
        retried = (
            httpx.ConnectError,
            httpx.ConnectTimeout,
            httpx.ReadError,
            httpx.RemoteProtocolError,
        )
        shown = _without_secrets(url)
        for attempt in range(ATTEMPTS):
            is_last = attempt + 1 == ATTEMPTS
            try:
                self._attempt(url, path)
            except retried as error:
                if is_last or self._closed.wait(ATTEMPT_PAUSE * 2**attempt):
                    raise DownloadFailed(f"{shown}: {_reason(error)}") from error
            except httpx.HTTPStatusError as error:
                status = f"{error.response.status_code} {error.response.reason_phrase}".rstrip()
                raise DownloadFailed(f"{status} for url: {shown}") from error
            except DownloadFailed as error:
                raise DownloadFailed(f"{shown}: {error}") from error
            # httpx lets a ValueError or UnicodeError of an odd URL through.
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
                raise DownloadFailed(f"{shown}: {_reason(error)}") from error
            else:
                return

    def _attempt(self, url: str, path: str) -> None:
        self._check_time()
        with self._client.stream("GET", url) as response, open(path, "wb") as file:
            response.raise_for_status()
            announced = response.headers.get("content-length", "")
            self._check_size(int(announced) if announced.isdecimal() else 0)
            size = 0
            for chunk in response.iter_bytes(CHUNK_SIZE):
                size += len(chunk)
                self._check_size(size)
                self._check_time()
                file.write(chunk)

    def _check_size(self, size: int) -> None:
        if size > self._size_max:
            raise DownloadFailed(f"larger than {self._size_max} bytes")

    def _check_time(self) -> None:
        if self._closed.is_set():
            raise DownloadFailed("the prediction has ended")
        if time.monotonic() > self._deadline:
            raise DownloadFailed(f"not done after {self._timeout:g} seconds")


@cache
def load_httpx() -> ModuleType:
    """The real httpx, also when the model's folder has an `httpx.py` of its own.

    In that case the model's stays, or becomes, what `import httpx` means to the model.

    Raises:
        ImportError: it is not installed.
    """
    present = sys.modules.get("httpx")
    if present is not None and hasattr(present, "HTTPStatusError"):
        return present
    theirs = {name: sys.modules.pop(name) for name in [*sys.modules] if _is_httpx(name)}
    path = sys.path[:]
    try:
        sys.path[:] = [entry for entry in path if not _is_working_folder(entry)]
        ours = import_module("httpx")
        import_module("httpcore")  # which httpx would import later
    finally:
        sys.path[:] = path
    found = PathFinder.find_spec("httpx", path)
    if theirs or (found is not None and found.origin != ours.__file__):
        for name in [*sys.modules]:
            if _is_httpx(name):
                del sys.modules[name]
        sys.modules.update(theirs)
    return ours


def _is_httpx(name: str) -> bool:
    return name == "httpx" or name.startswith("httpx.")


def _is_working_folder(entry: str) -> bool:
    return os.path.realpath(entry or ".") == os.getcwd()


def _without_secrets(url: str) -> str:
    """The URL for people: without its query and its password, which often are credentials."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
