"""Waiting for a child is interrupted."""

import subprocess


class Predictor:
    def predict(self, seconds: str) -> str:
        try:
            print("started", flush=True)
            subprocess.run(["sleep", seconds], check=True)
            print("the child has ended")
        finally:
            print("clean-up")
        return "done"
