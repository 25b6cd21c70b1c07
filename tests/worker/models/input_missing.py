"""An input that is required and missing fails that prediction."""


class Predictor:
    def predict(self, text: str) -> str:
        return text
