"""The clean-up of an async model has its time before the slot is free."""

import asyncio


class Predictor:
    async def setup(self):
        self.running = 0

    async def predict(self, wait: bool = True) -> int:
        self.running += 1
        try:
            if wait:
                await asyncio.sleep(0.5)  # coglet loses a cancel that comes before it has noted the task
                print("started", flush=True)
                await asyncio.sleep(60)
            return self.running
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
            print("cleaned up")
            raise
        finally:
            self.running -= 1
