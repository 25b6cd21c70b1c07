"""A stream that is closed is there for the next prediction."""

import sys


class Predictor:
    def predict(self) -> str:
        print("said")
        sys.stdout.close()
        return "done"
