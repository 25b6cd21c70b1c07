from typing import Iterator

from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, count: int, fail: bool = False) -> Iterator[str]:
        for number in range(count):
            print("item", number)
            yield f"item {number}"
        if fail:
            raise ValueError("after the last item")
