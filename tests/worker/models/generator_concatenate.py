"""Pieces of one text."""

from cog import BaseRunner, ConcatenateIterator, streaming


class Predictor(BaseRunner):
    @streaming
    def run(self, text: str = "a b c") -> ConcatenateIterator[str]:
        yield from text.split()
