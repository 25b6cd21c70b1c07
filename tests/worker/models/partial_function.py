"""A partial function is a model."""

import functools


def repeat(text: str, times: int) -> str:
    return text * times


twice = functools.partial(repeat, times=2)
