import time

from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, do: str = "return") -> str:
        print("started", flush=True)
        if do == "loop":
            while True:
                time.sleep(0.01)
        if do == "sleep":
            time.sleep(60)
        return "returned"
