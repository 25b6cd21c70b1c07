"""An exception that fails when it is printed."""


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class Predictor:
    def predict(self, fail: bool = True) -> str:
        if fail:
            raise Odd
        return "fine"
