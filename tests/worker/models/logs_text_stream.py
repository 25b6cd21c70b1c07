"""The standard streams are real text streams."""

import io
import sys


class Predictor:
    def predict(self) -> list:
        sys.stdout.writelines(["one\n", "two\n"])
        sys.stdout.reconfigure(line_buffering=True)
        return [isinstance(sys.stdout, io.TextIOBase), sys.stdout.write("héé\n")]
