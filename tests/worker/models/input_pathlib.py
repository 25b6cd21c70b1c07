"""Files without any SDK: `pathlib.Path` and `typing.IO`."""

import pathlib
import typing


class Predictor:
    def predict(self, path: pathlib.Path, stream: typing.BinaryIO) -> list[str]:
        return [path.read_text(), stream.read().decode()]
