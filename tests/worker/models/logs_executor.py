"""What an executor's threads print belongs to the prediction that asked them."""

import asyncio


class Predictor:
    async def predict(self, name: str) -> str:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, print, "executor of", name)
        return name
