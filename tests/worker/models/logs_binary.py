"""The binary side of the streams."""

import sys


class Predictor:
    def predict(self) -> str:
        print("text")
        sys.stdout.buffer.write("bytes é\n".encode())
        sys.stdout.buffer.flush()
        return "done"
