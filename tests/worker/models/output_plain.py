"""Plain values, as they are; null, and a list without items."""


class Predictor:
    def predict(self, which: str) -> object:
        return {"null": None, "empty": [], "text": "é🙂", "true": True, "half": 0.5}[which]
