"""Classes of attrs are objects."""

import attrs


@attrs.define
class Output:
    label: str
    score: float


class Predictor:
    def predict(self) -> Output:
        return Output("cat", 0.5)
