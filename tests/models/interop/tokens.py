import time
from typing import Iterator

import cog
from cog import BasePredictor, Input


class Predictor(BasePredictor):
    @cog.streaming
    def predict(
        self, count: int = Input(default=2, ge=0), end: str = Input(default="", choices=["", "fail", "wait"])
    ) -> Iterator[str]:
        for number in range(count):
            yield f"token {number}"
        if end == "fail":
            raise ValueError("boom")
        if end == "wait":
            print("started", flush=True)
            while True:
                time.sleep(0.01)
