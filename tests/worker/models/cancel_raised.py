"""A model that cancels itself."""

from cog import BaseRunner, CancelationException


class Predictor(BaseRunner):
    def run(self) -> str:
        raise CancelationException
