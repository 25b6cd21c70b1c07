"""A union of a file and something else: a URL is the file."""

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, value: int | Path) -> str:
        return value.read_text() if isinstance(value, Path) else f"the number {value}"
