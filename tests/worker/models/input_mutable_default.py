"""A default that a prediction changes is as new for the next one."""


class Predictor:
    def predict(self, items: list[int] = [1]) -> list[int]:
        items.append(2)
        return items
