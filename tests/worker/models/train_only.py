"""A class with nothing but `train`, as in the SDK's own documentation."""


class Trainer:
    def train(self, epochs: int = 2) -> str:
        return f"weights of {epochs}"
