"""A class must not have both `run` and `predict`."""


class Predictor:
    def run(self) -> str:
        return ""

    def predict(self) -> str:
        return ""
