"""Optional inputs: sent, null, or not there."""

from typing import Optional

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, file: Optional[Path] = None, seed: int | None = None) -> list:
        return [file and file.read_text(), seed]
