"""In train mode a function is called."""


def train(epochs: int = 2) -> str:
    print("epochs:", epochs)
    return f"weights of {epochs}"
