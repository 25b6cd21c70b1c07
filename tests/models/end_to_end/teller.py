"""Says word by word what it is told to; some words make it wait, or fail."""

import time
from collections.abc import Iterator


class Predictor:
    def predict(self, text: str = "one two", until: str = "") -> Iterator[str]:
        for word in text.split():
            print(f"saying {word}", flush=True)
            if word == "fail":
                raise ValueError("cannot say that")
            if word == "forever":
                time.sleep(300)
            if word == "until":  # somebody opens the other end of this FIFO
                open(until).close()
            yield word
