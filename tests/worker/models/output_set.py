"""Sets, frozen sets and tuples are lists."""


class Predictor:
    def predict(self) -> dict:
        return {"frozen": frozenset({2}), "set": {1}, "tuple": (3, 4)}
