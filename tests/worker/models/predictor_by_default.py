"""A reference without a name finds `Predictor`, of the SDK's older kind."""

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def predict(self, text: str = Input(default="by default", description="Any text")) -> str:
        return text
