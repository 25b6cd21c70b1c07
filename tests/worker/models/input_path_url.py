"""A `Path` from a URL is downloaded, and gone after the prediction."""

import os

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def setup(self):
        self.before = "/"

    def run(self, file: Path) -> list:
        before, self.before = self.before, str(file)
        return [file.read_text(), file.name.endswith("hello.txt"), os.path.exists(before)]
