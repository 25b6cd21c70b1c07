"""At the end: `teardown`, and what is registered with `atexit`."""

import atexit


class Predictor:
    def setup(self):
        atexit.register(print, "at exit", flush=True)

    def predict(self) -> str:
        return "done"

    def teardown(self):
        print("torn down", flush=True)
