"""An async generator is closed when it is cancelled."""

import asyncio
from typing import AsyncIterator


class Predictor:
    async def predict(self) -> AsyncIterator[int]:
        try:
            yield 1
            print("started", flush=True)
            await asyncio.sleep(60)
        finally:
            print("closed")
