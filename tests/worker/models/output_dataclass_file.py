"""A dataclass that holds an open file."""

import dataclasses
import io
import pathlib


@dataclasses.dataclass
class Output:
    file: io.IOBase


class Predictor:
    def predict(self) -> Output:
        pathlib.Path("note.txt").write_text("a note")
        return Output(open("note.txt", "rb"))
