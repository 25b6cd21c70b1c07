"""A generator's items come one by one; one item and none are lists too."""

from typing import Iterator


class Predictor:
    def predict(self, count: int) -> Iterator[str]:
        for number in range(count):
            print("item", number)
            yield f"item {number}"
