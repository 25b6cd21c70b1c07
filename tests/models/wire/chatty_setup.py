"""A model whose set-up says more than a supervisor that does not read can take."""

import time

from cog import BasePredictor


class Predictor(BasePredictor):
    """Fills coglet's queue of log messages, of which it then drops some."""

    def setup(self):
        for number in range(60_000):
            print(number)
        time.sleep(6)

    def predict(self):
        return None
