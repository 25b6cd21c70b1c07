"""A model written for Trio: two slots, and a cancel that lets it clean up."""

import trio


class Predictor:
    async def setup(self):
        self.count = 0
        self.both = trio.Event()

    async def predict(self, name: str, wait: bool = False) -> str:
        self.count += 1
        if self.count == 2:
            self.both.set()
        await self.both.wait()
        if wait:
            await self.wait()
        print("hello from", name)
        return name

    async def wait(self):
        try:
            print("started", flush=True)
            await trio.sleep(60)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)
            print("cleaned up")
