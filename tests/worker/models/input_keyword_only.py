"""Arguments that can only be named."""


class Predictor:
    def predict(self, *, text: str, times: int = 1) -> str:
        return text * times
