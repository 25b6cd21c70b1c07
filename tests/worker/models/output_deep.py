"""A value too deep for JSON fails the prediction and nothing else."""


class Predictor:
    def predict(self, depth: int) -> list:
        value: list = []
        for _ in range(depth):
            value = [value]
        return value
