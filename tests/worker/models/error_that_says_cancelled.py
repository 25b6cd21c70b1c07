"""An error whose text speaks of cancelling is an error."""


class Predictor:
    async def predict(self) -> str:
        raise RuntimeError("the order was cancelled")
