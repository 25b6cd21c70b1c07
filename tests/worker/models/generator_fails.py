"""A generator that fails: what it has yielded was sent."""

from typing import Iterator


class Predictor:
    def predict(self) -> Iterator[int]:
        yield 1
        raise ValueError("after the first")
