"""A cancel that comes with the request itself is heard."""

import time


class Predictor:
    def predict(self) -> str:
        for _ in range(100):
            time.sleep(0.01)
        return "not cancelled"
