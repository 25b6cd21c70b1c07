"""An async model is cancelled, in the middle of an `await`."""

import asyncio


class Predictor:
    async def predict(self, wait: bool = True) -> str:
        await asyncio.sleep(0.5)  # coglet loses a cancel that comes before it has noted the task
        print("started", flush=True)
        if wait:
            await asyncio.sleep(60)
        return "not cancelled"
