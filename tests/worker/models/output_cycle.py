"""A value that contains itself fails the prediction and nothing else."""


class Predictor:
    def predict(self, cyclic: bool = False) -> dict:
        value: dict = {"child": {}}
        if cyclic:
            value["child"]["parent"] = value
        return value
