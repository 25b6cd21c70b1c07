"""A date without a time."""

import datetime


class Predictor:
    def predict(self) -> dict:
        return {"day": datetime.date(2024, 2, 3)}
