"""An async generator: the output grows item by item, and predictions share one event loop."""

import asyncio
from collections.abc import AsyncIterator


class Predictor:
    async def predict(
        self, text: str = "the answer comes word by word", pause: float = 0.2
    ) -> AsyncIterator[str]:
        for word in text.split():
            await asyncio.sleep(pause)
            yield word
