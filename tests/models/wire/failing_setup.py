"""A model whose set-up fails."""

from cog import BasePredictor


class Predictor(BasePredictor):
    """Never ready."""

    def setup(self):
        raise RuntimeError("no weights")

    def predict(self):
        return None
