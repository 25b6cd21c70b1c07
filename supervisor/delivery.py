"""The outputs of one prediction on their way to its state, in order, while files are uploaded.

Whoever reads the slot's socket hands over what the worker sends and goes on reading; a value that
comes behind a file waits for it. A file is opened at once, and what is sent is read from there: so
the prediction's folder may go, the slot run the next prediction, and the worker end meanwhile.
"""

from __future__ import annotations

import math
import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import trio

from protocol.messages import FileKind, FileOutput
from supervisor.outputs import OutputUnreadable, open_file
from supervisor.pending_output import Item, Place
from supervisor.uploads import UploadFailed, file_headers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from supervisor.job import Job
    from supervisor.outputs import OutputFile
    from supervisor.telemetry import Telemetry
    from supervisor.uploads import Destination, Uploader

__all__ = ["Delivery"]

_SHUT_DOWN: Final = "The server was shut down before the prediction's files were uploaded"

_BROKE: Final = "an error inside the server; its log says more"

_AT_ONCE: Final = 4
"""Uploads of one prediction that are under way together."""


class Delivery:
    """Takes the outputs of one prediction from the reader of its slot, and uploads its files.

    While an item waits, `is_pending`; if that is so when the worker is done, the delivery ends the
    prediction. Whatever else ends it aborts the delivery.

    Args:
        job: whose outputs.
        destination: where its files go.
        uploader: brings them there.
        start: starts the task of the uploads; False: nothing is started any more.
        telemetry: is told how the prediction ended, if it is ended here.
    """

    def __init__(
        self,
        job: Job,
        destination: Destination,
        uploader: Uploader,
        start: Callable[[Callable[[], Awaitable[None]]], bool],
        telemetry: Telemetry,
    ) -> None:
        self._job = job
        self._destination = destination
        self._uploader = uploader
        self._room = uploader.room_for(destination)
        self._start = start
        self._telemetry = telemetry
        self._items: deque[Item] = deque()
        self._names: dict[str, int] = {}
        """Those that are taken, and how often they were asked for."""
        self._bytes = 0
        """Of files, and of values that wait."""
        self._scope = trio.CancelScope()
        self._opening: trio.CancelScope | None = None
        self._at_once = trio.CapacityLimiter(_AT_ONCE)
        self._has_begun = False
        self._as_list: bool | None = None
        self._upload, self._uploads = trio.open_memory_channel["tuple[Place, OutputFile]"](math.inf)

    # --- for the reader of the slot -----------------------------------------------------------

    @property
    def is_pending(self) -> bool:
        """Whether a file, or what comes behind it, is still on its way."""
        return bool(self._items)

    def value(self, value: Any, size: int) -> None:
        """The worker sent a value of `size` bytes of JSON."""
        if self._counted(size):
            self._items.append(Item([value], size))
            self._hand_on()

    async def value_with_files(
        self, value: Any, size: int, files: Mapping[str, str], *, output_dir: str
    ) -> None:
        """The worker sent a value, and files that belong into it. Waits as `file` does.

        Args:
            value: with null for each file.
            size: bytes of JSON in it.
            files: their paths, by their places in `value` as JSON Pointers.
            output_dir: the prediction's own folder for outputs.

        Raises:
            UnexpectedMessage: there is no such place in `value`.
        """
        item = Item([value], size, missing=len(files))
        places = [Place.of(pointer, item) for pointer in files]
        if not self._counted(size):
            return
        self._items.append(item)
        for place, path in zip(places, files.values(), strict=True):
            message = FileOutput(path, FileKind.FILE)
            await self._take(place, message, output_dir=output_dir, anywhere=False)

    async def file(self, message: FileOutput, *, output_dir: str, anywhere: bool) -> None:
        """The worker sent a file. Waits only where very many others are being uploaded.

        Args:
            message: what it said.
            output_dir: the prediction's own folder for outputs.
            anywhere: whether the file may lie elsewhere.
        """
        if self._job.prediction.doom is None:
            item = Item([None], missing=1)
            self._items.append(item)
            place = Place.of("", item)
            await self._take(place, message, output_dir=output_dir, anywhere=anywhere)

    def end_later(self, *, as_list: bool) -> None:
        """The worker is done: end the prediction when nothing is pending any more."""
        self._as_list = as_list
        self._upload.close()
        if not self._has_begun or self._is_over:
            self._end()

    def abort(self) -> None:
        """Upload nothing more."""
        self._scope.cancel()
        if self._opening is not None:
            self._opening.cancel()

    # --- taking -------------------------------------------------------------------------------

    @property
    def _is_aborted(self) -> bool:
        return self._scope.cancel_called or self._is_over

    @property
    def _is_over(self) -> bool:
        return self._uploads.statistics().open_receive_channels == 0

    async def _take(
        self, place: Place, message: FileOutput, *, output_dir: str, anywhere: bool
    ) -> None:
        file = await self._open(message, output_dir=output_dir, anywhere=anywhere)
        if file is None:
            return
        if self._is_aborted or not self._counted(file.size):
            self._close(file)
            return
        self._has_begun = self._has_begun or self._start(self._run)
        if self._has_begun:
            self._upload.send_nowait((place, file))
        else:
            self._close(file)

    async def _open(
        self, message: FileOutput, *, output_dir: str, anywhere: bool
    ) -> OutputFile | None:
        limit = self._job.prediction.limits.max_output
        with trio.CancelScope() as self._opening:
            if self._is_aborted:
                return None
            await self._room.acquire()
            try:
                return await open_file(
                    message, output_dir=output_dir, anywhere=anywhere, limit=limit
                )
            except OutputUnreadable as error:
                self._room.release()
                self._fail(str(error))
            except trio.Cancelled:
                self._room.release()
                raise
        return None

    def _close(self, file: OutputFile) -> None:
        with file:
            self._room.release()

    def _counted(self, size: int) -> bool:
        """Whether `size` bytes more are allowed; if not, the prediction is doomed."""
        prediction = self._job.prediction
        if prediction.doom is not None:
            return False
        self._bytes += size
        if prediction.output_size + self._bytes > prediction.limits.max_output:
            self._fail(prediction.limits.output_too_large)
            return False
        return True

    def _hand_on(self) -> None:
        """Put out what nothing before it holds up."""
        while self._items and not self._items[0].missing:
            item = self._items.popleft()
            self._bytes -= item.size
            if not self._job.prediction.add_output(item.box[0], item.size):
                self._items.clear()
                self._job.stop_doomed()

    def _fail(self, error: str) -> None:
        self._items.clear()
        self._job.prediction.doom_with(error)
        self._job.stop_doomed()

    # --- uploading ----------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    async for place, file in self._uploads:
                        nursery.start_soon(self._put, place, file, self._own_name(file.name))
        finally:
            with suppress(trio.WouldBlock, trio.EndOfChannel):
                while True:
                    self._close(self._uploads.receive_nowait()[1])
            self._uploads.close()
            if self._as_list is not None:
                self._end()

    async def _put(self, place: Place, file: OutputFile, name: str) -> None:
        prediction = self._job.prediction
        try:
            headers = file_headers(file, prediction.id, prediction.trace)
            async with self._at_once:
                url = await self._uploader.put(file, self._destination.of(name), headers)
            if not self._is_aborted:
                self._bytes += place.fill(url)
                self._hand_on()
        except OutputUnreadable as error:
            self._fail(str(error))
        except UploadFailed as error:
            self._fail(f"Output file {file.name!r} could not be uploaded to {error}")
        # The boundary of one client's work: nothing that it leads to ends the program, which is
        # everybody's.
        except Exception as error:
            self._telemetry.upload_broke(prediction.id, error)
            self._fail(f"Output file {file.name!r} could not be uploaded: {_BROKE}")
        finally:
            self._close(file)

    def _own_name(self, name: str) -> str:
        """`name`, with a number in it if another file of the prediction has it already."""
        name = own = name or "output"
        stem, extension = os.path.splitext(name)
        while own in self._names:
            self._names[name] += 1
            own = f"{stem}-{self._names[name]}{extension}"
        self._names[own] = 0
        return own

    def _end(self) -> None:
        job = self._job
        if not self._items or job.prediction.doom is not None:
            job.succeeded(as_list=bool(self._as_list))
        elif job.cancel_requested:
            job.canceled()
        else:
            job.failed(_SHUT_DOWN)
        ended = job.prediction
        self._telemetry.prediction_ended(
            ended.id, ended.status.value, ended.error, ended.request_id
        )
