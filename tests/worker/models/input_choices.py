"""Choices, as the SDK has them; the schema lists them."""

from cog import BaseRunner, Input

STYLES = ["photo", "art"]


class Predictor(BaseRunner):
    def run(
        self,
        style: str = Input(default="photo", choices=STYLES),
        size: int = Input(default=512, choices=[256, 512]),
    ) -> str:
        return f"{style} {size}"
