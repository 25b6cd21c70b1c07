"""Streams, waits, and answers what is big; never fails by itself."""

import asyncio
from typing import AsyncIterator


class Predictor:
    async def predict(
        self, text: str = "", chunks: int = 1, pause: float = 0.0, size: int = 0
    ) -> AsyncIterator[str]:
        print("asked for", chunks)
        for number in range(chunks):
            await asyncio.sleep(pause)
            yield "y" * size or f"{number} of {len(text)}"
