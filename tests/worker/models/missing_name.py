"""A reference to a name that is not there: the error names what is near."""


class Predictor:
    def predict(self) -> str:
        return ""
