"""A model that puts out files."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Predictor:
    def predict(self, count: int, size: int = 10) -> Iterator[Any]:
        folder = Path(tempfile.mkdtemp())
        for number in range(count):
            path = folder / "out.png"
            path.write_bytes(bytes([number]) * size)
            yield path
            yield number
        yield {"nested": [path], "plain": True}
        print("no more files")
        yield io.BytesIO(b"from memory")
