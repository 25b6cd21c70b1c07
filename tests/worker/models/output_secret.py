"""A secret in an output is masked."""

from cog import BaseRunner, Secret


class Predictor(BaseRunner):
    def run(self) -> dict:
        return {"token": Secret("hunter2")}
