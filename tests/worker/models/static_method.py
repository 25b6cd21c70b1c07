"""The method may be static."""


class Predictor:
    @staticmethod
    def predict(text: str = "static") -> str:
        return text
