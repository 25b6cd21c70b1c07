"""A generator is cancelled: what it has yielded was sent, and its `finally` runs."""

import time
from typing import Iterator


class Predictor:
    def predict(self) -> Iterator[int]:
        try:
            yield 1
            print("started", flush=True)
            while True:
                time.sleep(0.01)
        finally:
            print("closed")
