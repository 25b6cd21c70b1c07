"""A `TypedDict` and named tuples; keys that are no text become one."""

from typing import NamedTuple, TypedDict


class Point(NamedTuple):
    x: int
    y: int


class Output(TypedDict):
    counts: dict[int, str]
    points: list[Point]


class Predictor:
    def predict(self) -> Output:
        return {"counts": {1: "one", 2: "two"}, "points": [Point(1, 2)]}
