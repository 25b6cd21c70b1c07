"""What a worker says while a prediction runs, applied to the prediction's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from protocol.errors import UnexpectedMessage
from protocol.messages import FileKind, FileOutput, LogLine, Metric, OutputChunk
from supervisor.outputs import OutputUnreadable, collect_file

if TYPE_CHECKING:
    from supervisor.job import Job
    from supervisor.state.prediction import Prediction
    from supervisor.telemetry import Telemetry

__all__ = ["Result", "apply_result", "log_line"]

Result: TypeAlias = LogLine | Metric | OutputChunk | FileOutput


async def apply_result(
    message: Result,
    job: Job,
    *,
    size: int,
    output_dir: str,
    files_anywhere: bool,
    telemetry: Telemetry,
) -> None:
    """Apply one message; a checkpoint only for files. What cannot be kept dooms the prediction.

    Args:
        message: what the worker said.
        job: the prediction that it is about.
        size: bytes of JSON in the message.
        output_dir: the prediction's own folder for outputs.
        files_anywhere: whether output files may lie elsewhere.
        telemetry: is told of the logs, and of metrics that are not allowed.

    Raises:
        RemoteProtocolError: it makes no sense.
    """
    prediction = job.prediction
    match message:
        case LogLine():
            log_line(message, prediction, telemetry)
        case Metric():
            ignored = prediction.add_metric(message)
            if ignored is not None:
                telemetry.metric_ignored(prediction.id, message.name, ignored)
        case OutputChunk():
            _add_output(job, message.output, size)
        case FileOutput(kind=FileKind.FILE) if job.delivery is not None:
            await job.delivery.file(message, output_dir=output_dir, anywhere=files_anywhere)
        case FileOutput():
            try:
                value, size = await collect_file(
                    message,
                    output_dir=output_dir,
                    anywhere=files_anywhere,
                    limit=prediction.limits.max_output,
                )
            except OutputUnreadable as error:
                prediction.doom_with(str(error))
                job.stop_doomed()
            else:
                if prediction.is_terminal:
                    return  # meanwhile its slot was poisoned: nobody wants the value any more
                if message.files and job.delivery is not None:
                    await job.delivery.value_with_files(
                        value, size, message.files, output_dir=output_dir
                    )
                elif message.files:
                    raise UnexpectedMessage("files apart from a value, and nobody wanted them so")
                else:
                    _add_output(job, value, size)


def log_line(message: LogLine, prediction: Prediction, telemetry: Telemetry) -> None:
    """Add to the logs of a prediction, and to the operator's."""
    prediction.add_log(message.data, message.source)
    telemetry.prediction_output(prediction.id, message)


def _add_output(job: Job, value: Any, size: int) -> None:
    if job.delivery is not None:
        job.delivery.value(value, size)
        return
    was_doomed = job.prediction.doom is not None
    if not job.prediction.add_output(value, size) and not was_doomed:
        job.stop_doomed()
