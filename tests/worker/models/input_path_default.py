"""A default that is a URL is fetched like one that is sent."""

from cog import BaseRunner, Input, Path


class Predictor(BaseRunner):
    def run(self, file: Path = Input(default="data:text/plain,by%20default")) -> str:
        return file.read_text()
