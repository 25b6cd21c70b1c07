"""An async healthcheck; and one that forgets to answer is a healthy one."""

import asyncio


class Predictor:
    async def healthcheck(self):
        await asyncio.sleep(0)

    async def predict(self) -> str:
        return "fine"
