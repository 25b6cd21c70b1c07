"""Each of several slots has its own logs, of tasks and threads too."""

import asyncio


class Predictor:
    async def setup(self):
        self.count = 0
        self.both = asyncio.Event()

    async def predict(self, name: str) -> str:
        self.count += 1
        if self.count == 2:
            self.both.set()
        await self.both.wait()
        print("task of", name)
        await asyncio.create_task(self.say(name))
        await asyncio.to_thread(print, "thread of", name)
        return name

    async def say(self, name):
        print("inner task of", name)
