"""Files inside of objects and lists."""

import pathlib

from cog import BaseModel, BaseRunner, Path


class Output(BaseModel):
    file: Path
    name: str


class Predictor(BaseRunner):
    def run(self) -> dict:
        pathlib.Path("note.txt").write_text("a note")
        note = Path("note.txt")
        return {"list": [[note]], "of a model": Output(file=note, name="note")}
