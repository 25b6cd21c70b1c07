"""The folder of one prediction: private, named by us, there before `predict`, gone at its end.

Most predictions leave nothing in it. Such a folder serves the next one of its slot: making and
removing folders costs milliseconds on a busy disk, and the event loop would wait for it.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import msgspec
import trio

from protocol.json_text import dumps
from protocol.limits import INLINE_MAX
from protocol.messages import Predict
from protocol.spill import input_folder, write_spill

if TYPE_CHECKING:
    from supervisor.state.prediction import Prediction

__all__ = ["PredictionFolder", "RunFolderLost"]


class RunFolderLost(FileNotFoundError):
    """The worker's own folder is gone, and nothing can be sent to that worker any more."""


class PredictionFolder:
    """Where a prediction's spill files and file outputs lie.

    Args:
        run_dir: the worker's own private folder.
        name: unique in it. Never anything that a client chose.

    Raises:
        RunFolderLost: `run_dir` is not there.
        OSError: it could not be made.
    """

    def __init__(self, run_dir: str, name: str) -> None:
        self._path = os.path.join(run_dir, name)
        self.outputs = os.path.join(self._path, "outputs")
        try:
            os.mkdir(self._path, 0o700)
        except FileNotFoundError as error:
            raise RunFolderLost(*error.args) from error
        os.mkdir(self.outputs, 0o700)

    async def predict(self, prediction: Prediction, *, files_apart: bool = False) -> Predict:
        """The message that starts `prediction` here; an input too big for a frame is spilled.

        `files_apart`: files inside its output are wanted as files, which a foreign worker ignores.

        Raises:
            OSError: the spill file could not be written.
            Unserialisable: the input holds something that JSON cannot say.
        """
        payload = dumps(prediction.input)
        input_file = None
        if len(payload) > INLINE_MAX:
            input_file = await trio.to_thread.run_sync(self._spill, payload)
        return Predict(
            id=prediction.id,
            input=None if input_file else msgspec.Raw(payload),
            input_file=input_file,
            output_dir=self.outputs,
            context=prediction.context,
            trace=prediction.trace,
            files_apart=files_apart or None,
        )

    @property
    def is_untouched(self) -> bool:
        """Whether the prediction, and whoever spilled its input, left nothing in it."""
        try:
            return os.listdir(self._path) == ["outputs"] and not os.listdir(self.outputs)
        except OSError:
            return False

    async def remove(self) -> None:
        """Remove the folder with all that is left in it. Errors leave it to the worker's end."""
        try:
            os.rmdir(self.outputs)
            os.rmdir(self._path)
        except OSError:
            # Not empty, the usual case of a prediction with files: take a thread for it.
            await trio.to_thread.run_sync(shutil.rmtree, self._path, True)

    def _spill(self, payload: bytes) -> str:
        folder = input_folder(self.outputs)
        os.mkdir(folder, 0o700)
        return write_spill(folder, payload)
