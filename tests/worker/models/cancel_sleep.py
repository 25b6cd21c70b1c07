"""Sleep is interrupted: what would be done after it is not."""

import time


class Predictor:
    def predict(self, seconds: float) -> str:
        print("started", flush=True)
        before = time.monotonic()
        try:
            time.sleep(seconds)
        finally:
            print("slept to the end" if time.monotonic() - before >= seconds else "woken")
        return "slept"
