"""What is printed is in the logs, both streams in the order of writing."""

import sys


class Predictor:
    def predict(self) -> str:
        print("out")
        print("err", file=sys.stderr)
        print("out again")
        return "done"
