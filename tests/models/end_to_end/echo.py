"""Answers what it is sent."""


class Predictor:
    def predict(self, text: str = "hello") -> str:
        return text
