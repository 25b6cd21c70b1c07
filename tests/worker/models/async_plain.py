"""An async model in two slots: predictions run at the same time and keep apart."""

import asyncio

from cog import BaseRunner, concurrent


class Predictor(BaseRunner):
    async def setup(self):
        self.names = []
        self.both = asyncio.Event()

    @concurrent(max=2)
    async def run(self, name: str) -> str:
        self.names.append(name)
        if len(self.names) == 2:
            self.both.set()
        await self.both.wait()
        print("hello from", name)
        return name
