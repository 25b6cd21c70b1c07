"""Whole numbers keep all of their digits."""


class Predictor:
    def predict(self) -> list[int]:
        return [2**53 + 1, 2**70, -(2**64)]
