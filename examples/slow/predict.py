"""Takes its time: something to cancel."""

import time


class Predictor:
    def predict(self, seconds: float = 60) -> str:
        print("resting")
        try:
            time.sleep(seconds)
        finally:
            print("enough")
        return "rested"
