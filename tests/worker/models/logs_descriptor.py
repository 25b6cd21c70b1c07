"""Bytes written to the descriptors 1 and 2."""

import os


class Predictor:
    def predict(self) -> str:
        os.write(1, b"one\n")
        os.write(2, b"two\n")
        return "done"
