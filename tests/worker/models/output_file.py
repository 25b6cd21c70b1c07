"""A file by its path, an open file, bytes in memory, and text in memory."""

import io
import pathlib

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, kind: str) -> Path:
        pathlib.Path("note.txt").write_text("a note")
        if kind == "path":
            return Path("note.txt")
        if kind == "open":
            return open("note.txt", "rb")
        if kind == "bytes":
            return io.BytesIO(b"in memory")
        return io.StringIO("text in memory")
