"""Is never ready, and has a child that does not end with it."""

import subprocess
import time


class Predictor:
    def setup(self) -> None:
        subprocess.Popen(["sleep", "300"], start_new_session=True)
        print("setting up", flush=True)
        time.sleep(300)

    def predict(self) -> str:
        return "never"
