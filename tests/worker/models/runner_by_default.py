"""A reference without a name prefers `Runner` to `Predictor`."""

from cog import BaseRunner


class Predictor:
    def predict(self) -> str:
        return "the predictor"


class Runner(BaseRunner):
    def run(self) -> str:
        return "the runner"
