"""An async generator is streamed: the first item is there before the last is made."""

import asyncio
from typing import AsyncIterator


class Predictor:
    async def predict(self) -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(0.5)  # coglet loses a cancel that comes before it has noted the task
        print("started", flush=True)
        await asyncio.sleep(30)
        yield "last"
