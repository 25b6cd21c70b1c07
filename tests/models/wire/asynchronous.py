"""What `scripts/record_wire.py` makes a real worker say with an async model of two slots."""

import asyncio

from cog import BasePredictor


class Predictor(BasePredictor):
    """Does what the input `do` names."""

    async def predict(self, do: str):
        print("in", do)
        if do == "wait":
            await asyncio.sleep(60)
        if do == "boom":
            raise ValueError("boom")
        return do
