import os

from cog import BasePredictor


class Predictor(BasePredictor):
    def healthcheck(self) -> bool:
        if os.path.exists("raise"):
            raise ValueError("no GPU")
        return not os.path.exists("unhealthy")

    def predict(self) -> str:
        return "fine"
