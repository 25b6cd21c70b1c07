"""A `Path` from a data URL is a file with its content and suffix."""

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, file: Path) -> dict:
        assert isinstance(file, Path)
        return {"suffix": file.suffix, "text": file.read_text(), "is_file": file.is_file()}
