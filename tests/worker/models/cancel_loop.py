"""A loop is cancelled; the next prediction is as if nothing had been."""


class Predictor:
    def predict(self, wait: bool = True) -> str:
        print("started", flush=True)
        while wait:
            pass
        return "not cancelled"
