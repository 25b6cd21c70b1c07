import asyncio
from typing import AsyncIterator

from cog import BasePredictor


class Predictor(BasePredictor):
    async def setup(self):
        self.inside = 0
        self.met = asyncio.Event()

    async def predict(self, do: str = "return", name: str = "x") -> str:
        print("hello from", name)
        if do == "meet":
            self.inside += 1
            if self.inside == 2:
                self.met.set()
            await asyncio.wait_for(self.met.wait(), 10)
        if do == "wait":
            print("started", flush=True)
            await asyncio.sleep(60)
        if do == "raise":
            raise ValueError("boom")
        await asyncio.sleep(0)
        print("goodbye from", name)
        return name


class Stream(BasePredictor):
    async def predict(self, count: int, wait: bool = False) -> AsyncIterator[int]:
        for number in range(count):
            await asyncio.sleep(0)
            yield number
        if wait:
            print("started", flush=True)
            await asyncio.sleep(60)
