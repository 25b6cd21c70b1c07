"""An async set-up runs on the loop that predictions run on."""

import asyncio


class Predictor:
    async def setup(self):
        await asyncio.sleep(0)
        self.loop = asyncio.get_running_loop()

    async def predict(self) -> bool:
        return asyncio.get_running_loop() is self.loop
