import sys

from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, do: str) -> str:
        print("about to fail")
        if do == "raise":
            raise ValueError("boom")
        if do == "exit":
            sys.exit(3)
        return "fine"
