"""What children print during set-up is in its logs."""

import subprocess


class Predictor:
    def setup(self):
        subprocess.run(["echo", "fetched by a child"], check=True)
        print("set up")

    def predict(self) -> str:
        return "done"
