"""An async generator that fails: what it has yielded was sent."""

from typing import AsyncIterator


class Predictor:
    async def predict(self) -> AsyncIterator[int]:
        yield 1
        raise ValueError("after the first")
