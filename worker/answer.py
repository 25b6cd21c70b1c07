"""What one prediction sends: logs, metrics and outputs as they come, then one terminal message."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from protocol.errors import LocalProtocolError, RemoteProtocolError, SpillRefused
from protocol.json_text import loads
from protocol.messages import Cancelled, Done, Failed, LogSource
from protocol.spill import input_folder, read_spill, remove_spill
from worker import error_text
from worker.error_text import Stage
from worker.inputs import InputFailure
from worker.outputs import OutputFailure, OutputWriter
from worker.sdk import CancelationException
from worker.sink import LogSink
from worker.thread_interrupter import this_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.messages import FileOutput, Metric, OutputChunk, Predict
    from worker.slot import Slot

__all__ = ["Answer", "InputLost", "Outcome"]

Outcome = Done | Failed | Cancelled

_HELD_MAX: Final = 256 * 1024
"""Bytes of outputs that wait for one write together."""


class InputLost(Exception):
    """The input of a prediction did not arrive; the text says why."""


class Answer:
    """The answer to one request, while the model works on it. Used by one engine's one thread.

    Logs and metrics may come from any thread.
    """

    def __init__(
        self,
        slot: Slot,
        predict: Predict,
        stage: Stage,
        checkpoint: Callable[[], None] | None = None,
        *,
        error_prefixes: bool,
    ) -> None:
        """Begin an answer.

        `stage` is what is said when the model's function raises, if `error_prefixes`; `checkpoint`
        may raise when a metric was sent.
        """
        self._error_prefixes = error_prefixes
        self._slot = slot
        self._predict = predict
        self._outputs = OutputWriter(predict.output_dir, files_apart=bool(predict.files_apart))
        self._checkpoint = checkpoint
        self._held = bytearray()
        self._input_removed = False
        self._began = time.perf_counter()
        self.sink = LogSink(slot.writer, slot.log_frame)
        self.stage = stage

    @property
    def is_stream(self) -> bool:
        """Whether the output is sent item by item."""
        return self._outputs.is_stream

    @is_stream.setter
    def is_stream(self, value: bool) -> None:
        self._outputs.is_stream = value

    @property
    def folder(self) -> str:
        """The prediction's own folder, which the supervisor removes."""
        return os.path.dirname(self._predict.output_dir.rstrip(os.sep))

    def raw_input(self) -> Any:
        """The input of the request, from its frame or its spill file.

        Raises:
            InputLost: it is in neither.
        """
        predict = self._predict
        if predict.input_file is None:
            if predict.input is None:
                raise InputLost(error_text.NO_INPUT)
            return predict.input
        try:
            payload = read_spill(input_folder(predict.output_dir), predict.input_file)
            self._input_removed = True
            return loads(payload)
        except RemoteProtocolError as error:
            raise InputLost(error) from error

    def metric(self, metric: Metric) -> None:
        """Send a metric, from any thread."""
        with this_thread.shield:
            self._send_metric(metric)
        if self._checkpoint is not None:
            self._checkpoint()

    def hold(self, item: Any) -> None:
        """Take one item of the output, to be sent together with what follows and is ready too.

        Raises:
            OutputFailure: it is nothing that a client could be sent.
        """
        self.hold_message(self._outputs.message(item))

    def hold_message(self, message: OutputChunk | FileOutput) -> None:
        """As `hold`, of an item whose message was made before."""
        self._held += self._slot.encode(message)
        if len(self._held) > _HELD_MAX:
            self.send_held()

    def file_message(self, item: Any, go_on: Callable[[], None]) -> FileOutput:
        """Copy a file of the output. In any thread, while nothing else is done for the outputs.

        `go_on` is called between pieces, and may raise to end it; nothing is left then.

        Raises:
            OutputFailure: it cannot be copied.
        """
        return self._outputs.file_message(item, go_on)

    def output(self, item: Any) -> None:
        """Send one item of the output at once. Raises `OutputFailure` as `hold`."""
        self.hold(item)
        self.send_held()

    def send_held(self) -> None:
        """Send the items that wait."""
        held, self._held = self._held, bytearray()
        with this_thread.shield:
            self._slot.writer.send(held)

    def _send_metric(self, metric: Metric) -> None:
        with self._slot.writer.lock:
            if not self.sink.closed:
                self._slot.send(metric)

    def done(self) -> Done:
        """The outcome of a success."""
        return Done(self._predict.id, time.perf_counter() - self._began, self.is_stream)

    def cancelled(self) -> Cancelled:
        """The outcome of a prediction that was told to stop."""
        return Cancelled(self._predict.id)

    def outcome_of(self, error: BaseException, whole: BaseException | None = None) -> Outcome:
        """What comes of a prediction in which `error` was raised, wherever that was.

        The traceback of what the model has raised goes into its logs; that of `whole`, if `error`
        has come in a group.
        """
        match error:
            case CancelationException():
                return self.cancelled()  # or the model has raised it itself, which means the same
            case InputLost():
                text = error_text.input_lost(error)
            case InputFailure():
                text = error_text.input_failed(error)
            case OutputFailure():
                text = self._failed(Stage.OUTPUT, error)
            case _:
                self.sink.write(LogSource.STDERR, error_text.model_traceback(whole or error))
                text = self._failed(self.stage, error)
        return Failed(self._predict.id, text)

    def _failed(self, stage: Stage, error: BaseException) -> str:
        return error_text.prediction_failed(stage, error, prefixes=self._error_prefixes)

    def end(self, outcome: Outcome) -> None:
        """Send what is held and the terminal message, in one write."""
        self._remove_input()
        try:
            self._held += self._slot.encode(outcome)
        except LocalProtocolError as error:
            self._held += self._slot.encode(Failed(self._predict.id, str(error)))
        self.send_held()

    def _remove_input(self) -> None:
        """Remove a spilled input that nobody has read, because a `Cancel` came before."""
        path = self._predict.input_file
        if path is None or self._input_removed:
            return
        try:
            remove_spill(input_folder(self._predict.output_dir), path)
        except SpillRefused:
            return  # it is not there any more, or not ours to remove
