"""Tells which modules it can import."""

import importlib
import sys


class Predictor:
    def predict(self, names: str) -> dict[str, str]:
        return {name: self.found(name) for name in names.split()} | {"executable": sys.executable}

    def found(self, name: str) -> str:
        try:
            return importlib.import_module(name).__file__ or "built in"
        except ModuleNotFoundError:
            return "missing"
