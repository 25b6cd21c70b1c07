"""A set-up that fails: what it printed is told, and the error."""


class Predictor:
    def setup(self):
        print("loading weights")
        raise RuntimeError("no weights")

    def predict(self) -> str:
        return ""
