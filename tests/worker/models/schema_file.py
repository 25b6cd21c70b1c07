"""The schema that the image has is the one that is told."""

from cog import BaseRunner


class Predictor(BaseRunner):
    def run(self, text: str = "x") -> str:
        return text
