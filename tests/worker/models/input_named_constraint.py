"""A limit that is a constant by name counts like one that is written out."""

from cog import BaseRunner, Input

LIMIT = 10


class Predictor(BaseRunner):
    def run(self, steps: int = Input(default=3, le=LIMIT)) -> int:
        return steps
