"""The files of one prediction's inputs: fetched, decoded, handed out, and removed at the end."""

from __future__ import annotations

import binascii
import io
import mimetypes
import os
import shutil
import tempfile
from base64 import b64decode
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus, unquote_to_bytes, urlsplit

from worker.downloads import Downloader, DownloadFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.options import Options

__all__ = ["InputFailure", "InputFiles", "is_url"]

FILE_NAME_MAX: Final = 200
"""Bytes of the name of a file that a URL names."""

THREADS_MAX: Final = 8
"""Downloads that run at once for one prediction."""


class InputFailure(Exception):
    """An input cannot be what the model asks for. The text names it, for the client."""


def is_url(value: str) -> bool:
    """Whether a file input is a URL that can be fetched. The case of the scheme is not minded."""
    return value[:8].lower().startswith(("http://", "https://", "data:"))


class InputFiles:
    """Everything that one prediction's file inputs need, until `close`.

    A file is begun by `path` or `stream`, which answer how to wait for it; so all downloads of a
    prediction run at once.

    Args:
        options: what the operator allows.
        parent: where the folder for the files is made; None: where temporary files lie.
    """

    def __init__(self, options: Options, parent: str | None = None) -> None:
        self.options = options
        self._parent = parent
        self._folder: str | None = None
        self._count = 0
        self._streams: list[IO[Any]] = []
        self._downloader: Downloader | None = None
        self._threads: ThreadPoolExecutor | None = None

    def path(self, url: str) -> Callable[[], str]:
        """Begin to get the file behind `url`; the result waits for it and answers its path.

        Raises:
            InputFailure: from here or from the result, without naming the input.
        """
        if url[:5].lower() == "data:":
            content, mime_type = _decode_data_url(url)
            path = self._new_path("file" + (mimetypes.guess_extension(mime_type) or ""))
            with open(path, "xb") as file:
                file.write(content)
            return lambda: path
        downloader, threads = self._download_tools()
        path = self._new_path(_file_name(url))
        done: Future[None] = threads.submit(downloader.download, url, path)

        def wait() -> str:
            try:
                done.result()
            except DownloadFailed as error:
                raise InputFailure(str(error)) from error
            return path

        return wait

    def stream(self, url: str) -> Callable[[], IO[bytes]]:
        """As `path`, but the result answers an open file."""
        if url[:5].lower() == "data:":
            content, _ = _decode_data_url(url)
            return lambda: io.BytesIO(content)
        path = self.path(url)
        return lambda: self.open(path())

    def open(self, path: str) -> IO[bytes]:
        """Open a file that is closed at the end of the prediction, if the model has not.

        Raises:
            InputFailure: it cannot be opened.
        """
        try:
            stream = open(path, "rb")  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise InputFailure(f"cannot be opened: {error}") from error
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """Remove all files, also those that are still being written. Does not wait for threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._downloader is not None:
            self._downloader.close()
        for stream in self._streams:
            stream.close()
        if self._folder is not None:
            # The model may have moved or removed what is in it.
            shutil.rmtree(self._folder, ignore_errors=True)

    def _download_tools(self) -> tuple[Downloader, ThreadPoolExecutor]:
        if self._downloader is None or self._threads is None:
            options = self.options
            try:
                self._downloader = Downloader(
                    size_max=options.download_max, timeout=options.download_timeout
                )
            except DownloadFailed as error:
                raise InputFailure(str(error)) from error
            self._threads = ThreadPoolExecutor(THREADS_MAX, "coglet-download")
        return self._downloader, self._threads

    def _new_path(self, name: str) -> str:
        """The path for a new file called `name`, in a folder of its own."""
        if self._folder is None:
            # Asked only now: most predictions have no files.
            usable = self._parent is not None and os.access(self._parent, os.W_OK | os.X_OK)
            self._folder = tempfile.mkdtemp(prefix="files-", dir=self._parent if usable else None)
        folder = os.path.join(self._folder, str(self._count))
        self._count += 1
        os.mkdir(folder, 0o700)
        return os.path.join(folder, name)


def _file_name(url: str) -> str:
    """The name that a URL gives its file, made safe and not too long."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InputFailure(f"is not a URL: {error}") from error
    name = unquote_plus(path.rpartition("/")[2], errors="replace")
    name = name.replace("/", "_").replace("\0", "_")
    if not name.strip("."):
        return "file"
    if len(name.encode()) <= FILE_NAME_MAX:
        return name
    stem, extension = os.path.splitext(name)
    room = FILE_NAME_MAX - len(extension.encode()) - 1
    if room < 1:  # the extension alone is too long
        return name.encode()[:FILE_NAME_MAX].decode(errors="ignore")
    return f"{stem.encode()[:room].decode(errors='ignore')}~{extension}"


def _decode_data_url(url: str) -> tuple[bytes, str]:
    """The content of a `data:` URL and its MIME type."""
    header, comma, body = url[5:].partition(",")
    if not comma:
        raise InputFailure("is not a data URL: the comma before the data is missing")
    mime_type, *parameters = header.split(";")
    if not parameters or parameters[-1].strip().lower() != "base64":
        return unquote_to_bytes(body), mime_type or "text/plain"
    try:
        content = b64decode(unquote_to_bytes(body) if "%" in body else body)
    except (binascii.Error, ValueError) as error:
        raise InputFailure(f"is not a data URL: {error}") from error
    return content, mime_type or "text/plain"
