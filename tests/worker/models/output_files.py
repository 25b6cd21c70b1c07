"""A list of files."""

import pathlib


class Predictor:
    def predict(self) -> list[pathlib.Path]:
        paths = [pathlib.Path(f"{name}.txt") for name in ("one", "two")]
        for path in paths:
            path.write_text(path.stem)
        return paths
