"""A class that has nothing of any SDK is a model; its set-up has run before."""


class Predictor:
    def setup(self):
        self.greeting = "hello"

    def predict(self, name: str) -> str:
        return f"{self.greeting} {name}"
