"""Constraints of the SDK's `Input`: the schema has them."""

from cog import BaseRunner, Input


class Predictor(BaseRunner):
    def run(
        self,
        steps: int = Input(default=3, ge=1, le=100, description="How many"),
        prompt: str = Input(default="a", min_length=1, max_length=5, regex="^[a-z]"),
    ) -> str:
        return prompt * steps
