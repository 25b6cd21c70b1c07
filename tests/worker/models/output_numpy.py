"""Numbers and arrays of numpy, arrays in arrays too."""

import numpy


class Predictor:
    def predict(self) -> dict:
        return {
            "array": numpy.array([[1, 2], [3, 4]]),
            "number": numpy.float32(0.5),
            "whole": numpy.int64(3),
        }
