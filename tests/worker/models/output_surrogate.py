"""Half a surrogate pair, which UTF-8 cannot say."""


class Predictor:
    def predict(self) -> str:
        return "half \ud800"
