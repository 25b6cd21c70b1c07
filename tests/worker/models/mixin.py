"""The method may come from a base class that stands before the SDK's."""

from cog import BaseRunner


class Mixin:
    def run(self, text: str = "mixed in") -> str:
        return text


class Predictor(Mixin, BaseRunner):
    pass
