"""Progress bars, drawn with carriage returns."""

import sys


class Predictor:
    def predict(self) -> str:
        for percent in (0, 50, 100):
            sys.stderr.write(f"\r{percent:3}%|{'#' * (percent // 10):10}|")
            sys.stderr.flush()
        sys.stderr.write("\n")
        return "done"
