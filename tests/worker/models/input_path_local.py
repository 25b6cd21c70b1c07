"""A path on the server's machine is not for clients to name."""

from cog import BaseRunner, Path


class Predictor(BaseRunner):
    def run(self, file: Path) -> str:
        return f"read {file} as a {type(file).__name__}"
