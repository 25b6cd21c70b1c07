"""Waiting for a child is interrupted."""

import subprocess


class Predictor:
    def predict(self, seconds: str) -> str:
        print("started", flush=True)
        try:
            subprocess.run(["sleep", seconds], check=True)
            print("the child has ended")
        finally:
            print("clean-up")
        return "done"
