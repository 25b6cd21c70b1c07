"""The smallest model: plain Python, nothing to install."""


class Predictor:
    def predict(self, name: str = "world") -> str:
        print(f"greeting {name}")
        return f"hello {name}"
