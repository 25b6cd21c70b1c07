"""An exception in async code."""


class Predictor:
    async def predict(self, fail: bool = True) -> str:
        if fail:
            raise ValueError("boom")
        return "fine"
