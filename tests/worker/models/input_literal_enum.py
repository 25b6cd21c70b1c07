"""Choices without any SDK: `Literal` and `Enum`; the model gets the member."""

import enum
from typing import Literal


class Style(enum.Enum):
    PHOTO = "photo"
    ART = "art"


class Predictor:
    def predict(self, style: Style = Style.PHOTO, size: Literal[256, 512] = 512) -> str:
        return f"{style!r} {size}"
