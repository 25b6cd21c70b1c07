"""A sync model in two slots: a thread each, and each its own logs."""

import threading


class Predictor:
    def setup(self):
        self.both = threading.Barrier(2)

    def predict(self, name: str) -> str:
        self.both.wait(30)
        print("hello from", name)
        return name
