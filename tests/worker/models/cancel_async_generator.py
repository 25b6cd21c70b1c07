"""An async generator is closed when it is cancelled."""

import asyncio
from typing import AsyncIterator


class Predictor:
    async def predict(self) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(0.5)  # coglet loses a cancel that comes before it has noted the task
            print("started", flush=True)
            await asyncio.sleep(60)
        finally:
            print("closed")
