"""A model may catch the cancel to clean up, and raise it again."""

import time

from cog import BaseRunner, CancelationException


class Predictor(BaseRunner):
    def run(self) -> str:
        try:
            print("started", flush=True)
            while True:
                time.sleep(0.01)
        except CancelationException:
            print("cleaning up")
            raise
        finally:
            print("finally")
