import sys
import threading

from cog import BasePredictor, Input


class Predictor(BasePredictor):
    def setup(self):
        print("set up")
        self.calls = 0

    def predict(self, text: str, times: int = Input(default=2, ge=1, le=5)) -> str:
        self.calls += 1
        print("said", text)
        print("warned", text, file=sys.stderr)
        return text * times


class Untyped:
    """Nothing of the SDK's; the value of the name that is asked for."""

    def predict(self, name: str):
        values = {
            "null": None,
            "true": True,
            "integer": 2**53,
            "number": 0.5,
            "text": "héllo 日本 🙂",
            "list": [1, "two", None],
            "empty list": [],
            "nested": {"a": [{"b": {"c": []}}]},
            "order": {"zebra": 1, "apple": 2},
            "big": 2**70,
            "main thread": threading.current_thread() is threading.main_thread(),
        }
        return values[name]
