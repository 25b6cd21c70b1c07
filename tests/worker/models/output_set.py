"""Sets, frozen sets and tuples are lists."""


class Predictor:
    def predict(self) -> dict:
        return {"set": {1}, "frozen": frozenset({2}), "tuple": (3, 4)}
