"""A model that says that it is not well."""


class Predictor:
    def healthcheck(self) -> bool:
        return False

    def predict(self) -> str:
        return "fine"
