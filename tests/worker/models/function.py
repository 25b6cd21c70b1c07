"""A plain function is a model."""


def run(text: str, times: int = 2) -> str:
    print("repeating", text)
    return text * times
