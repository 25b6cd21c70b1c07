"""An output too large for one message."""


class Predictor:
    def predict(self, size: int = 7_000_000) -> str:
        return "x" * size
