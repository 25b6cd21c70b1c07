"""Files inside of objects and lists."""

import pathlib

from cog import BaseModel, BaseRunner, Path


class Output(BaseModel):
    name: str
    file: Path


class Predictor(BaseRunner):
    def run(self) -> dict:
        pathlib.Path("note.txt").write_text("a note")
        note = Path("note.txt")
        return {"of a model": Output(name="note", file=note), "list": [[note]]}
