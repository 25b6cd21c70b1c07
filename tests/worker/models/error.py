"""An exception fails the prediction; the next one is as if nothing had been."""


class Predictor:
    def predict(self, fail: bool = True) -> str:
        print("about to answer")
        if fail:
            raise ValueError("boom")
        return "fine"
