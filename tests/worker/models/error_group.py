"""A group of exceptions."""


class Predictor:
    def predict(self) -> str:
        raise ExceptionGroup("two things", [ValueError("one"), TypeError("two")])
