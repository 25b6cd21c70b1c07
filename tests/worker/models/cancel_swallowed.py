"""A model that swallows the cancel was cancelled all the same."""

import time

from cog import BaseRunner, CancelationException


class Predictor(BaseRunner):
    def run(self) -> str:
        try:
            print("started", flush=True)
            while True:
                time.sleep(0.01)
        except CancelationException:
            return "half of it"
