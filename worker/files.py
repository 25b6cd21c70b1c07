"""The files of one prediction's inputs: fetched, decoded, handed out, and removed at the end."""

from __future__ import annotations

import binascii
import io
import mimetypes
import os
import threading
from base64 import b64decode
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import unquote, unquote_plus, unquote_to_bytes, urlsplit

from protocol.regular_file import open_regular
from worker.downloads import Downloader, DownloadFailed
from worker.file_folder import FileFolder, FolderRemoved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from worker.options import Options

__all__ = ["InputFailure", "InputFiles", "is_url", "local_path"]

FILE_NAME_MAX: Final = 200
"""Bytes of the name of a file that a URL names."""

_OVER: Final = "the prediction has ended"


class InputFailure(Exception):
    """An input cannot be what the model asks for. The text names it, for the client."""


def is_url(value: str) -> bool:
    """Whether a file input is a URL that can be fetched. The case of the scheme is not minded."""
    return value[:8].lower().startswith(("http://", "https://", "data:"))


class InputFiles:
    """Everything that one prediction's file inputs need, until `close`.

    A file is begun by `path` or `stream`, which answer how to wait for it; so all downloads of a
    prediction run at once. `trusted` URLs are those that the model's author wrote, as defaults.

    Args:
        options: what the operator allows.
        parent: where the folder for the files is made; None: where temporary files lie.
    """

    def __init__(self, options: Options, parent: str | None = None) -> None:
        self.options = options
        self._folder = FileFolder(parent)
        self._lock = threading.Lock()
        self._closed = False
        self._streams: list[IO[Any]] = []
        self._downloaders: dict[bool, Downloader] = {}

    def path(self, url: str, *, trusted: bool) -> Callable[[], str]:
        """Begin to get the file behind `url`; the result waits for it and answers its path.

        Raises:
            InputFailure: from here or from the result, without naming the input.
        """
        if url[:5].lower() == "data:":
            content, mime_type, name = _decode_data_url(url)
            if not name:
                name = "file" + (mimetypes.guess_extension(mime_type) or "")
            path = self._new_path(name)
            with _explained():
                self._folder.write(path, content)
            return lambda: path
        path = self._new_path(_file_name(url))
        done = self._downloader(trusted).start(url, partial(self._folder.writing, path))

        def wait() -> str:
            with _explained():
                done()
            return path

        return wait

    def stream(self, url: str, *, trusted: bool) -> Callable[[], IO[bytes]]:
        """As `path`, but the result answers an open file."""
        if url[:5].lower() == "data:":
            content, _, _ = _decode_data_url(url)
            return lambda: io.BytesIO(content)
        path = self.path(url, trusted=trusted)
        return lambda: self.open(path())

    def open(self, path: str) -> IO[bytes]:
        """Open a file that is closed at the end of the prediction, if the model has not.

        Raises:
            InputFailure: it cannot be opened, or is no file: a pipe would be waited for for ever.
        """
        try:
            stream = open(path, "rb", opener=open_regular)  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise InputFailure(f"cannot be opened: {error}") from error
        with self._lock:
            if not self._closed:
                self._streams.append(stream)
                return stream
        stream.close()
        raise InputFailure(_OVER)

    def close(self) -> None:
        """Remove all files and end what is still being fetched.

        From any thread, also while another one waits for a file: it is told that there is none.
        """
        with self._lock:
            self._closed = True
            downloaders, streams = [*self._downloaders.values()], self._streams
            self._streams = []
        for downloader in downloaders:
            downloader.close()
        for stream in streams:
            stream.close()
        self._folder.remove()

    def _downloader(self, trusted: bool) -> Downloader:
        # Two, because connections are checked when they are made, and then used again.
        with self._lock:
            if self._closed:
                raise InputFailure(_OVER)
            if trusted not in self._downloaders:
                self._downloaders[trusted] = Downloader(self.options, trusted=trusted)
            return self._downloaders[trusted]

    def _new_path(self, name: str) -> str:
        with _explained():
            return self._folder.new_path(name)


@contextmanager
def _explained() -> Iterator[None]:
    """Tell of what goes wrong with a file as of an input."""
    try:
        yield
    except (DownloadFailed, FolderRemoved) as error:
        raise InputFailure(str(error)) from error


def local_path(text: str) -> str:
    """The path that a client means by `text`, which may be a `file:` URL.

    Raises:
        InputFailure: it is a `file:` URL of another machine, or none.
    """
    if text[:5].lower() != "file:":
        return text
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InputFailure("is not a URL") from error  # the error may tell the password
    if parts.netloc.lower() not in ("", "localhost") or not parts.path.startswith("/"):
        raise InputFailure("is not a file: URL of this machine, as file:///path/to/file is")
    return unquote(parts.path)


def _file_name(url: str) -> str:
    """The name that a URL gives its file, made safe and not too long."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise InputFailure("is not a URL") from error  # the error may tell the password
    return _safe(unquote_plus(path.rpartition("/")[2], errors="replace")) or "file"


def _safe(name: str) -> str:
    """A name for a file in a folder of ours; "" if none can be made of `name`."""
    name = name.replace("/", "_").replace("\0", "_")
    if not name.strip("."):
        return ""
    if len(name.encode()) <= FILE_NAME_MAX:
        return name
    stem, extension = os.path.splitext(name)
    room = FILE_NAME_MAX - len(extension.encode()) - 1
    if room < 1:  # the extension alone is too long
        return name.encode()[:FILE_NAME_MAX].decode(errors="ignore")
    return f"{stem.encode()[:room].decode(errors='ignore')}~{extension}"


def _decode_data_url(url: str) -> tuple[bytes, str, str]:
    """The content of a `data:` URL, its MIME type, and the file's name or ""."""
    header, comma, body = url[5:].partition(",")
    if not comma:
        raise InputFailure("is not a data URL: the comma before the data is missing")
    mime_type, *parameters = header.split(";")
    mime_type = mime_type or "text/plain"
    name = _safe(_name_parameter(parameters))
    if not parameters or parameters[-1].strip().lower() != "base64":
        return unquote_to_bytes(body), mime_type, name
    try:
        content = b64decode(unquote_to_bytes(body) if "%" in body else body)
    except (binascii.Error, ValueError) as error:
        raise InputFailure(f"is not a data URL: {error}") from error
    return content, mime_type, name


def _name_parameter(parameters: list[str]) -> str:
    """What the supervisor says of a file that came in a form (`;name=cat.png`), percent-encoded."""
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "name":
            return unquote(value, errors="replace")
    return ""
