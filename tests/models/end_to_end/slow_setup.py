"""Is never ready."""

import time


class Predictor:
    def setup(self) -> None:
        print("setting up", flush=True)
        time.sleep(300)

    def predict(self) -> str:
        return "never"
