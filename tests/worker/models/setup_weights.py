"""Set-up gets the weights that the operator names."""

from typing import Optional

from cog import BaseRunner


class Predictor(BaseRunner):
    def setup(self, weights: Optional[str] = None) -> None:
        print("weights are", weights)
        self.weights = weights

    def run(self) -> str:
        return str(self.weights)
