"""The scope is the prediction's own in executors too, whatever runs beside it."""

import asyncio

from cog import BaseRunner, current_scope


class Predictor(BaseRunner):
    async def setup(self):
        self.count = 0
        self.both = asyncio.Event()

    async def run(self, name: str) -> str:
        self.count += 1
        if self.count == 2:
            self.both.set()
        await self.both.wait()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.record, name)
        return name

    def record(self, name):
        current_scope().record_metric("name", name)
