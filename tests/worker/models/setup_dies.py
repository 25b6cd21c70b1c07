"""A set-up that ends the process."""

import os


class Predictor:
    def setup(self):
        print("about to die", flush=True)
        os._exit(7)

    def predict(self) -> str:
        return ""
