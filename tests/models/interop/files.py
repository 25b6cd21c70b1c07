import io
from pathlib import Path as PathlibPath
from typing import Any

from cog import BasePredictor, Path


class Predictor(BasePredictor):
    def predict(self, do: str) -> Any:
        path = PathlibPath("picture.png").absolute()
        path.write_bytes(b"not really a picture")
        if do == "path":
            return Path(path)
        if do == "list":
            other = PathlibPath("notes.txt").absolute()
            other.write_text("some notes")
            return [Path(path), Path(other)]
        if do == "open file":
            return open(path, "rb")
        if do == "memory":
            return io.BytesIO(b"some bytes")
        if do == "nested":
            return {"file": Path(path)}
        return Path("/nowhere/at/all.png")
