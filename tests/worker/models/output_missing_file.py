"""A file that is not there fails the prediction."""

import pathlib


class Predictor:
    def predict(self) -> pathlib.Path:
        return pathlib.Path("/nowhere/at/all.txt")
