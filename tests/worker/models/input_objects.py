"""Objects keep the order of their keys, and whole numbers all of their digits."""

from typing import Any


class Predictor:
    def predict(self, value: dict[str, Any]) -> str:
        return repr(value)
