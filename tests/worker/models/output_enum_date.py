"""Enumerations by their values, dates and times as ISO 8601 has them."""

import datetime
import enum


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Predictor:
    def predict(self) -> list:
        return [Color.RED, Level.HIGH, datetime.datetime(2024, 2, 3, 4, 5, 6)]
