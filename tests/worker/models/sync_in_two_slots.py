"""A sync model does not run in two slots unless the operator says how."""


class Predictor:
    def predict(self) -> str:
        return ""
