"""An instance that can be called is a model."""


class Repeater:
    def __init__(self, times: int):
        self.times = times

    def __call__(self, text: str) -> str:
        return text * self.times


thrice = Repeater(3)
