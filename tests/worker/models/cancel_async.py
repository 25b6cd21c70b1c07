"""An async model is cancelled, in the middle of an `await`."""

import asyncio


class Predictor:
    async def predict(self, wait: bool = True) -> str:
        print("started", flush=True)
        if wait:
            await asyncio.sleep(60)
        return "not cancelled"
