"""Inputs that are not sent have their defaults, and `Input()` without one is None."""

from cog import BaseRunner, Input


class Predictor(BaseRunner):
    def run(
        self,
        plain: int = 1,
        described: float = Input(default=0.5, description="A number"),
        none: str = Input(default=None),
    ) -> dict:
        return {"described": described, "none": none, "plain": plain}
