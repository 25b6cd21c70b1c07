"""A `File` is open for reading."""

from cog import BaseRunner, File


class Predictor(BaseRunner):
    def run(self, file: File) -> str:
        return file.read().decode()
