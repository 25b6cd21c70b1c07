"""A decorated method: its arguments are those of the function inside, `Input()` defaults too."""

import functools

from cog import BaseRunner, Input


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        print("called with", kwargs)
        return function(*args, **kwargs)

    return wrapper


class Predictor(BaseRunner):
    @logged
    def run(self, steps: int = Input(default=3, ge=1), name: str = Input(default="x")) -> str:
        return name * steps
