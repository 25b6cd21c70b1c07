"""A `Path` from a data URL is a file with its content and suffix."""

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, file: Path) -> list:
        assert isinstance(file, Path)
        return [file.suffix, file.read_text(), file.is_file()]
