"""A default that a prediction changes is as new for the next one."""

from cog import BaseRunner, Input


class Predictor(BaseRunner):
    def run(self, items: list[int] = Input(default=[1])) -> list[int]:
        items.append(2)
        return items
