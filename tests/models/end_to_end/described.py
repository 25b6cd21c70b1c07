"""Inputs that the document has its own ways with."""

from typing import Annotated, Any, Literal


class AtLeast:
    """As annotated-types has it, which need not be installed."""

    def __init__(self, min_length: int) -> None:
        self.min_length = min_length


class Predictor:
    def predict(
        self,
        Status: Literal["x", "y"] = "x",
        anything: Any = None,
        words: Annotated[list[str], AtLeast(1)] = ["w"],
    ) -> dict:
        """Answer what came.

        Args:
            words: One or more.
        """
        return {"Status": Status, "anything": anything, "words": words}

    def train(self, Status: Literal["z"]) -> str:
        return Status
