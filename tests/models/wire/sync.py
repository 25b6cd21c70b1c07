"""What `scripts/record_wire.py` makes a real worker say with a sync model."""

import os
import sys
import time
from pathlib import Path

from cog import BasePredictor, current_scope


class WithoutName(type):
    """A metaclass whose classes have no name, on which coglet's text of an error panics."""

    def __getattribute__(cls, name):
        if name == "__qualname__":
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=WithoutName):
    """An error that coglet cannot describe."""


class Predictor(BasePredictor):
    """Does what the input `do` names."""

    def setup(self):
        print("setting up")
        print("warming up", file=sys.stderr)

    def healthcheck(self):
        return not Path("unhealthy").exists()

    def predict(self, do: str):
        return getattr(self, do)()

    def text(self):
        print("plain line")
        print("Zeile für Zeile 日本 🙂 \x00 \x1b[1m", file=sys.stderr)
        os.write(1, b"written to the descriptor\n")
        return "héllo"

    def integer(self):
        return 2**40

    def number(self):
        return 0.1

    def boolean(self):
        return True

    def nothing(self):
        return None

    def mapping(self):
        return {"zebra": 1, "apple": [1, None, {"deep": True}], "e": 1e300, "big": 2**63}

    def items(self):
        return ["a", "b"]

    def stream(self):
        yield "one"
        yield "two"

    def file(self):
        path = Path("picture.png").absolute()
        path.write_bytes(b"not really a picture")
        return path

    def oversized(self):
        return "x" * 7_000_000

    def metrics(self):
        scope = current_scope()
        scope.record_metric("tokens", 3)
        scope.record_metric("timing.load", 0.25)
        scope.record_metric("name", "digits")
        scope.record_metric("flag", True)
        scope.record_metric("list", [1, "a"])
        scope.record_metric("object", {"a": 1})
        scope.record_metric("tokens", 2, mode="incr")
        scope.record_metric("history", 1, mode="append")
        del scope.metrics["name"]

    def boom(self):
        raise ValueError("boom")

    def wait(self):
        print("waiting")
        while True:
            time.sleep(0.01)

    def long_line(self):
        print("é" * 2_500_000)

    def panic(self):
        raise Nameless
