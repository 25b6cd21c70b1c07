"""Sleeps in C code that lets go of the GIL, as long as it is told."""

import time


class Predictor:
    def predict(self, seconds: float, name: str = "") -> str:
        print(f"sleeping {name}", flush=True)
        time.sleep(seconds)
        return name
