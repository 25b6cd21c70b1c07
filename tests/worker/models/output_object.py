"""An object that means nothing in JSON fails the prediction; the error says where it is."""


class Predictor:
    def predict(self) -> dict:
        return {"items": [1, object()]}
