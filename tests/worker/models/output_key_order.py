"""Objects keep the order of their keys."""


class Predictor:
    def predict(self) -> dict:
        return {"zebra": 1, "apple": {"b": 1, "a": 2}}
