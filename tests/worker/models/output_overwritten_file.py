"""A file that is written again after it was yielded: the client gets what was yielded."""

import pathlib
from typing import Iterator


class Predictor:
    def predict(self) -> Iterator[pathlib.Path]:
        path = pathlib.Path("frame.txt")
        for number in range(3):
            path.write_text(f"frame {number}")
            yield path
