"""A `TypedDict` and named tuples; keys that are no text become one."""

from typing import NamedTuple, TypedDict


class Point(NamedTuple):
    x: int
    y: int


class Output(TypedDict):
    points: list[Point]
    counts: dict[int, str]


class Predictor:
    def predict(self) -> Output:
        return {"points": [Point(1, 2)], "counts": {1: "one", 2: "two"}}
