"""What children print is in the logs, in its place."""

import subprocess


class Predictor:
    def predict(self) -> str:
        print("before")
        subprocess.run(["sh", "-c", "echo from a child; echo its error >&2"], check=True)
        print("after")
        return "done"
