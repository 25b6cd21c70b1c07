"""Sleep is interrupted: what would be done after it is not."""

import time


class Predictor:
    def predict(self, seconds: float) -> str:
        before = time.monotonic()
        try:
            print("started", flush=True)
            time.sleep(seconds)
        finally:
            print("slept to the end" if time.monotonic() - before >= seconds else "woken")
        return "slept"
