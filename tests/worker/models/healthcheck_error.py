"""A healthcheck that fails is an unhealthy model."""


class Predictor:
    def healthcheck(self) -> bool:
        raise ValueError("no GPU")

    def predict(self) -> str:
        return "fine"
