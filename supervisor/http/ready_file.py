"""The file that tells Kubernetes' probes of Replicate's images that the model is ready."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog
from attrs import define, field

__all__ = ["READY_FILE", "ReadyFile", "ready_file"]

log = structlog.get_logger("supervisor.http.ready_file")

READY_FILE: Final = Path("/var/run/cog/ready")


@define
class ReadyFile:
    """An empty file, made once. It is a signal and stays when the server ends, as in coglet."""

    path: Path
    _announced: bool = field(default=False, init=False)

    def announce(self) -> None:
        """Make the file, the first time that this is called. A failure is logged only."""
        if self._announced:
            return
        self._announced = True
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            log.warning("cannot create the ready file", path=str(self.path), error=str(error))


def ready_file() -> ReadyFile | None:
    """The file to announce readiness with; None outside of Kubernetes."""
    return ReadyFile(READY_FILE) if "KUBERNETES_SERVICE_HOST" in os.environ else None
