"""A list of files from anywhere."""

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, files: list[Path]) -> list[str]:
        return [file.read_text() for file in files]
